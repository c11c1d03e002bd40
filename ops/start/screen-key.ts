import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Api, ask } from './api.ts';

interface Made {
  readonly createApiKey: {
    readonly secret: string | null;
    readonly errors: readonly { readonly code: string; readonly message: string }[];
  };
}

/**
 * A key that may only show the fleet (scope SCREEN), for the wall's address: made through the API once, kept in `dataDir`/screen-key (0600),
 * and made again when the gateway no longer knows it (another database).
 * @throws Error with the API's code when it cannot be made
 */
export async function ensureScreenKey(api: Api, dataDir: string): Promise<string> {
  const path = join(dataDir, 'screen-key');
  const kept = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  if (kept !== '' && (await works({ url: api.url, key: kept }))) return kept;
  const { createApiKey } = await ask<Made>(
    api,
    'mutation Screen($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret errors { code message } } }',
    { input: { name: 'wall', scopes: ['SCREEN'] } },
  );
  if (createApiKey.secret === null) throw new Error(`the wall's key was not made: ${createApiKey.errors[0]?.code ?? 'no answer'}`);
  writeFileSync(path, `${createApiKey.secret}\n`, { mode: 0o600 });
  return createApiKey.secret;
}

async function works(api: Api): Promise<boolean> {
  try {
    await ask(api, '{ fleet { devices } }');
    return true;
  } catch (error) {
    // an unknown key is the one answer that a new key mends
    if (error instanceof Error && error.message.startsWith('UNAUTHENTICATED')) return false;
    throw error;
  }
}
