import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Text of a file that is made once with mode 0600 and kept. */
function kept(dataDir: string, name: string, make: () => string): string {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, name);
  if (!existsSync(path)) writeFileSync(path, `${make()}\n`, { mode: 0o600, flag: 'wx' });
  chmodSync(path, 0o600);
  return readFileSync(path, 'utf8').trim();
}

export interface Secrets {
  /** the first admin key: at least 24 characters */
  readonly adminKey: string;
  /** key ring for WhatsApp sessions at rest: `id:base64 of 32 bytes`, newest first */
  readonly sessionKeys: string;
}

/** ADMIN_API_KEY and SESSION_KEYS of the environment, else those kept in `dataDir`, made the first time. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>, dataDir: string): Secrets {
  const given = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  return {
    adminKey: given('ADMIN_API_KEY') ?? kept(dataDir, 'admin-key', () => `flk_${randomBytes(24).toString('base64url')}`),
    sessionKeys: given('SESSION_KEYS') ?? kept(dataDir, 'session-keys', () => `k1:${randomBytes(32).toString('base64')}`),
  };
}
