import { FIELDS, type Field, type FieldName, type Settings } from './fields.ts';

export { FIELDS, type Field, type FieldName, type Settings } from './fields.ts';
export { configurationReference } from './reference.ts';

/** A wrong environment. `problems` holds one line per variable: its name and what was expected. Never holds a value of a secret. */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`wrong environment:\n${problems.map((line) => `  ${line}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Settings with the required names made present. */
export type Config<R extends FieldName = never> = Settings & { readonly [K in R]: NonNullable<Settings[K]> };

/**
 * Parses the environment into a frozen object. An empty variable counts as unset. Names in `required` must be set.
 * @throws ConfigError naming every wrong variable and what was expected; nothing is started on a wrong environment
 */
export function loadConfig<R extends FieldName = never>(
  env: Readonly<Record<string, string | undefined>>,
  required: readonly R[] = [],
): Config<R> {
  const problems: string[] = [];
  const settings: Record<string, unknown> = {};
  for (const [name, definition] of Object.entries(FIELDS) as [FieldName, Field][]) {
    const given = env[name];
    const raw = given === undefined || given === '' ? definition.fallback : given;
    if (raw === undefined) {
      if ((required as readonly string[]).includes(name)) problems.push(`${name}: is not set; ${definition.meaning}`);
      settings[name] = undefined;
      continue;
    }
    if (raw === '' && definition.fallback === '') {
      settings[name] = ['LOCK_REDIS_URLS', 'ALLOWED_ORIGINS', 'MEDIA_PRIVATE_HOSTS', 'WHATSAPP_PROXY_PRIVATE_HOSTS'].includes(name)
        ? []
        : '';
      continue;
    }
    const parsed = definition.parse.safeParse(raw);
    if (parsed.success) settings[name] = parsed.data;
    else problems.push(`${name}: ${parsed.error.issues.map((issue) => issue.message).join('; ')}`);
  }
  if (problems.length === 0) problems.push(...relations(settings as Settings));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(settings) as Config<R>;
}

function relations(settings: Settings): string[] {
  const problems: string[] = [];
  if (settings.LEASE_RENEW_MS * 3 > settings.LEASE_TTL_MS) problems.push('LEASE_RENEW_MS: expected at most a third of LEASE_TTL_MS');
  if (settings.LEASE_MARGIN_MS * 3 > settings.LEASE_TTL_MS) problems.push('LEASE_MARGIN_MS: expected at most a third of LEASE_TTL_MS');
  if (![0, 1, 3, 5].includes(settings.LOCK_REDIS_URLS.length)) problems.push('LOCK_REDIS_URLS: expected 1, 3 or 5 addresses');
  else if (new Set(settings.LOCK_REDIS_URLS).size < settings.LOCK_REDIS_URLS.length)
    problems.push('LOCK_REDIS_URLS: expected different addresses');
  if (settings.RETRY_CAP_MS < settings.RETRY_BASE_MS) problems.push('RETRY_CAP_MS: expected at least RETRY_BASE_MS');
  if ((settings.TLS_CERT_FILE === undefined) !== (settings.TLS_KEY_FILE === undefined))
    problems.push('TLS_CERT_FILE and TLS_KEY_FILE: expected both or none');
  if (settings.DOCUMENTS === 'trusted' && settings.TRUSTED_DOCUMENTS_FILE === undefined)
    problems.push('TRUSTED_DOCUMENTS_FILE: expected a file, because DOCUMENTS is trusted');
  return problems;
}
