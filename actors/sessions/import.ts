import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FlotillaError } from '../../schema/domain/index.ts';
import { decodeJson } from './codec.ts';
import type { KeyRing } from './key-ring.ts';
import { type PlaceDeps, placeSession } from './place.ts';
import { createSessionStore, type KeyWrites } from './store.ts';

/**
 * Reads a folder of Baileys' useMultiFileAuthState: `creds.json` and one file per key, `<type>-<id>.json`, in whose names `/` stands as `__` and `:` as `-`.
 * The folder must not be in use any more: two sockets on one session throw each other out.
 */
const TYPES = [
  'pre-key',
  'session',
  'sender-key-memory',
  'sender-key',
  'app-state-sync-key',
  'app-state-sync-version',
  'lid-mapping',
  'device-list',
  'tctoken',
  'identity-key',
] as const;
const AT_ONCE = 500;

/** Type and id of a key's file; null for what is no key. */
export function keyOfFile(name: string): { readonly type: string; readonly id: string } | null {
  const type = TYPES.find((one) => name.startsWith(`${one}-`));
  if (type === undefined || !name.endsWith('.json')) return null;
  const id = name.slice(type.length + 1, -'.json'.length);
  // group::user::device, and base64: the only ids with characters that the file names lose
  if (type === 'sender-key' || type === 'sender-key-memory') return { type, id: id.replaceAll('--', '::') };
  if (type === 'app-state-sync-key') return { type, id: id.replaceAll('__', '/') };
  return { type, id };
}

export interface Imported {
  readonly keys: number;
  /** files that are no keys of a session */
  readonly ignored: readonly string[];
  /** the account's own JID */
  readonly jid: string;
}

/**
 * Takes the session in `folder` over for this device.
 * @throws FlotillaError terminal IMPORT_UNUSABLE (no creds, not paired, a file that is no JSON; nothing was written), SESSION_EXISTS, DEVICE_NOT_FOUND
 */
export async function importFolder(
  deps: PlaceDeps & { readonly ring: KeyRing },
  deviceId: string,
  folder: string,
  replace = false,
): Promise<Imported> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new FlotillaError('terminal', 'IMPORT_UNUSABLE', `the folder ${folder} cannot be read`, { cause });
  });
  const read = async (name: string): Promise<unknown> => {
    try {
      return decodeJson(await readFile(join(folder, name), 'utf8'));
    } catch (cause) {
      throw new FlotillaError('terminal', 'IMPORT_UNUSABLE', `${name} cannot be read`, { cause });
    }
  };
  const creds = (await read('creds.json')) as { me?: { id?: unknown }; account?: unknown } | null;
  const jid = creds?.me?.id;
  // `me` alone is set by an unfinished pairing by code
  if (typeof jid !== 'string' || creds?.account == null) {
    throw new FlotillaError('terminal', 'IMPORT_UNUSABLE', 'creds.json is not of a paired device');
  }
  const found: { type: string; id: string; value: unknown }[] = [];
  const ignored: string[] = [];
  for (const name of [...names].sort()) {
    const key = keyOfFile(name);
    if (key !== null) found.push({ ...key, value: await read(name) });
    else if (name !== 'creds.json') ignored.push(name);
  }
  await placeSession(deps, deviceId, replace, async (epoch) => {
    const session = await createSessionStore(deps, { cacheBytes: 0 }).open(deviceId, epoch);
    for (let from = 0; from < found.length; from += AT_ONCE) {
      const writes: Record<string, Record<string, unknown>> = {};
      for (const { type, id, value } of found.slice(from, from + AT_ONCE)) {
        const ofType = writes[type] ?? {};
        writes[type] = ofType;
        ofType[id] = value;
      }
      await session.set(writes satisfies KeyWrites);
    }
    session.saveCreds(creds);
    await session.flush();
  });
  return { keys: found.length, ignored, jid };
}
