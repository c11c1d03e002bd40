import { FlotillaError } from '../../schema/domain/index.ts';
import { createTextCache } from './cache.ts';
import { decodeJson, encodeJson } from './codec.ts';
import type { KeyRing } from './key-ring.ts';
import type { SealedArchive, SealedKey, SealedStore } from './sealed.ts';

/**
 * Sessions, one DeviceSession per device and ownership, sealed before they reach the store behind (sealed.ts).
 * Owns: the cache, the order of creds writes. Does not own: what the values mean (actors/transports/whatsapp), who owns the device.
 * Called by the whatsapp transport and the session commands.
 *
 * I1. Every write is refused when a later owner has the session (SESSION_FENCED).
 * I2. `set` writes all its keys or none, and throws when it cannot; the cache learns of it only after the store has it.
 * I3. Creds are saved whole, one write at a time per device; of several waiting, only the last is written.
 * I4. `flush` resolves when everything given to `saveCreds` before it is committed; it throws when that cannot be.
 * I5. The cache serves one ownership: a session opened again never reads what an earlier one kept.
 */
export interface SessionStore {
  /**
   * Reads the creds of a device. `creds` is null when there is no session.
   * @throws FlotillaError terminal SESSION_CORRUPT or SESSION_KEY_UNKNOWN; the row is left as it is
   */
  open(deviceId: string, epoch: number): Promise<DeviceSession>;
  /** bytes the cache holds, for a gauge */
  readonly cacheBytes: number;
}

/** type -> id -> value; null = delete. Values are JSON with bytes. */
export type KeyWrites = Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;

export interface DeviceSession {
  /** as stored when the session was opened */
  readonly creds: unknown;
  /** asks for the whole object to be saved; it is serialised when its write begins. Errors come out of `flush`. */
  saveCreds(creds: unknown): void;
  /** @throws FlotillaError fenced SESSION_FENCED, or the store's error */
  flush(): Promise<void>;
  /** only the keys that are there. @throws as `open` */
  get(type: string, ids: readonly string[]): Promise<Record<string, unknown>>;
  /** @throws FlotillaError fenced SESSION_FENCED, or the store's error; nothing was written, or the outcome is unknown and not cached */
  set(writes: KeyWrites): Promise<void>;
  /** removes creds and keys (unlinked, or before a new pairing). @throws as `set` */
  erase(): Promise<void>;
}

export interface SessionStoreOptions {
  /** cap of the cache over all devices of the process, bytes */
  readonly cacheBytes?: number;
}

/** 3,000 devices with ten warm peers at about 1 KB a key (guess) */
const CACHE_BYTES = 64 * 1024 * 1024;
const CREDS = 'creds';

export function createSessionStore(
  deps: { readonly sealed: SealedStore; readonly ring: KeyRing },
  options: SessionStoreOptions = {},
): SessionStore {
  const { sealed, ring } = deps;
  const cache = createTextCache(options.cacheBytes ?? CACHE_BYTES);
  let opened = 0;
  return {
    async open(deviceId, epoch) {
      opened += 1;
      const scope = `${opened}`;
      const blob = await sealed.open(deviceId, epoch);
      const creds = blob === null ? null : decodeJson(ring.open(blob, contextOf(deviceId, CREDS, '')).toString());
      return createDeviceSession({ deviceId, epoch, creds, sealed, ring, cache, scope });
    },
    get cacheBytes() {
      return cache.bytes;
    },
  };
}

/**
 * Does the ring open what is stored? Asked before a node takes devices: with the wrong ring every one of them would be quarantined.
 * Damage is no fault of the ring: it is wrong when it lacks a key, or when not one of several sessions opens with the key of that id.
 * @throws FlotillaError terminal SESSION_KEY_UNKNOWN
 */
export async function checkKeyRing(archive: Pick<SealedArchive, 'sealing'>, ring: KeyRing): Promise<void> {
  for (const { id, sessions, samples } of await archive.sealing()) {
    const codes = samples.map(({ deviceId, creds }) => {
      try {
        ring.open(creds, contextOf(deviceId, CREDS, ''));
        return null;
      } catch (error) {
        return error instanceof FlotillaError ? error.code : 'SESSION_CORRUPT';
      }
    });
    const wrong = codes.includes('SESSION_KEY_UNKNOWN') || (codes.length > 1 && !codes.includes(null));
    if (!wrong) continue;
    throw new FlotillaError(
      'terminal',
      'SESSION_KEY_UNKNOWN',
      `SESSION_KEYS does not open the stored sessions: ${sessions} are sealed with the key "${id}" (the ring seals with "${ring.sealsWith}"). ` +
        'Put the right keys into SESSION_KEYS or DATA_DIR/session-keys; nothing was changed.',
    );
  }
}

/** What a blob is bound to: it opens in its own place only. */
export const contextOf = (deviceId: string, type: string, id: string): string => `${deviceId}\0${type}\0${id}`;

interface SessionParts {
  readonly deviceId: string;
  readonly epoch: number;
  readonly creds: unknown;
  readonly sealed: SealedStore;
  readonly ring: KeyRing;
  readonly cache: ReturnType<typeof createTextCache>;
  /** names this ownership's entries in the cache (I5) */
  readonly scope: string;
}

function createDeviceSession(parts: SessionParts): DeviceSession {
  const { deviceId, epoch, sealed, ring, cache } = parts;
  const credsWriter = createCredsWriter(async (creds) => {
    const blob = ring.seal(Buffer.from(encodeJson(creds)), contextOf(deviceId, CREDS, ''));
    if (!(await sealed.saveCreds(deviceId, epoch, blob))) throw fenced(deviceId, epoch);
  });
  // a read that overlapped with a write does not feed the cache: it may have seen the value before it
  let writes = 0;
  let inFlight = 0;
  const cacheKey = (type: string, id: string): string => `${parts.scope}\0${type}\0${id}`;

  const read = async (type: string, ids: readonly string[]): Promise<Map<string, string>> => {
    const before = writes;
    const rows = await sealed.keys(deviceId, type, ids);
    const found = new Map(rows.map((row) => [row.id, ring.open(row.value, contextOf(deviceId, type, row.id)).toString()]));
    if (before === writes && inFlight === 0) for (const id of ids) cache.set(cacheKey(type, id), found.get(id) ?? null);
    return found;
  };

  return {
    creds: parts.creds,
    saveCreds: credsWriter.save,
    flush: credsWriter.flush,
    async get(type, ids) {
      const result: Record<string, unknown> = {};
      const missing: string[] = [];
      for (const id of ids) {
        const kept = cache.get(cacheKey(type, id));
        if (kept === undefined) missing.push(id);
        else if (kept !== null) result[id] = decodeJson(kept);
      }
      if (missing.length > 0) for (const [id, text] of await read(type, missing)) result[id] = decodeJson(text);
      return result;
    },
    async set(given) {
      const texts = textsOf(given);
      if (texts.length === 0) return;
      const blobs = texts.map(({ type, id, text }): SealedKey => {
        return { type, id, value: text === null ? null : ring.seal(Buffer.from(text), contextOf(deviceId, type, id)) };
      });
      for (const { type, id } of texts) cache.delete(cacheKey(type, id));
      writes += 1;
      inFlight += 1;
      try {
        if (!(await sealed.setKeys(deviceId, epoch, blobs))) throw fenced(deviceId, epoch);
        for (const { type, id, text } of texts) cache.set(cacheKey(type, id), text);
      } finally {
        inFlight -= 1;
        writes += 1;
      }
    },
    async erase() {
      credsWriter.forget();
      await credsWriter.flush();
      if (!(await sealed.erase(deviceId, epoch))) throw fenced(deviceId, epoch);
    },
  };
}

function textsOf(writes: KeyWrites): { type: string; id: string; text: string | null }[] {
  return Object.entries(writes).flatMap(([type, values]) =>
    Object.entries(values ?? {}).map(([id, value]) => ({
      type,
      id,
      text: value === null || value === undefined ? null : encodeJson(value),
    })),
  );
}

const fenced = (deviceId: string, epoch: number): FlotillaError =>
  new FlotillaError(
    'fenced',
    'SESSION_FENCED',
    `a session write of device ${deviceId} at epoch ${epoch} was refused: another owner has it`,
  );

/** Writes one value at a time; while one is being written only the newest other one waits (I3, I4). */
function createCredsWriter(write: (creds: unknown) => Promise<void>): {
  save(creds: unknown): void;
  flush(): Promise<void>;
  forget(): void;
} {
  let waiting: { readonly creds: unknown } | undefined;
  let running: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;
  const run = async (): Promise<void> => {
    for (let next = waiting; next !== undefined; next = waiting) {
      waiting = undefined;
      try {
        await write(next.creds);
        failure = undefined;
      } catch (error) {
        failure = { error };
        // what could not be written stays due, unless something newer waits already or it can never be written
        if (waiting === undefined) {
          if (!(error instanceof FlotillaError && error.policy === 'fenced')) waiting = next;
          return;
        }
      }
    }
  };
  const start = (): Promise<void> => {
    running ??= run().finally(() => {
      running = undefined;
    });
    return running;
  };
  return {
    save(creds) {
      waiting = { creds };
      void start();
    },
    async flush() {
      if (running !== undefined) await running;
      if (waiting !== undefined) await start();
      if (failure !== undefined) throw failure.error;
    },
    forget() {
      waiting = undefined;
      failure = undefined;
    },
  };
}
