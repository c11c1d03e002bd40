import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FlotillaError } from '../../schema/domain/index.ts';
import { encodeRecord, type LogEntry, nameOf, type Place, partsOf, readLog } from './file-log.ts';
import { keyIdOf } from './key-ring.ts';
import { type Sealed, sealingOf } from './sealed.ts';

/**
 * Sessions in files of one machine: a folder per device, in it one log per ownership (`<epoch>-<generation>.log`) and a claim (`<epoch>.claim`).
 * Owns: the folder, and in memory where each value stands. Does not own: what the bytes mean. For one machine: its nodes share the folder.
 *
 * L1. A new owner claims first, then copies what is live from the newest log into its own, then removes the older ones.
 * L2. A writer appends, forces it to the disk, and looks for a higher claim afterwards: none there means that the next owner reads what was written.
 * L3. A log is replaced by renaming a whole one over to its name; a record that is cut off at the end was never confirmed.
 * L4. Erasing removes the bytes from the disk's files, not only from sight.
 * L5. After a write that failed or was cut short the log is read and written anew before the next one: nothing is appended behind a torn record.
 */
export interface FileStoreOptions {
  /** a log longer than this and four times its live bytes is written anew */
  readonly compactBytes?: number;
  /** for tests: writes to the log, says how many bytes went in */
  readonly write?: (handle: FileHandle, bytes: Buffer, at: number) => Promise<number>;
}

interface Opened {
  readonly epoch: number;
  generation: number;
  size: number;
  live: number;
  readonly places: Map<string, Place>;
}
interface Found {
  readonly name: string;
  readonly epoch: number;
  readonly generation: number;
}

const COMPACT_BYTES = 4 * 1024 * 1024;
const DEVICE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const LOG = /^(\d{16})-(\d{6})\.log$/;
const CLAIM = /^(\d{16})\.claim$/;
const epochName = (epoch: number): string => String(epoch).padStart(16, '0');
const logName = (epoch: number, generation: number): string => `${epochName(epoch)}-${String(generation).padStart(6, '0')}.log`;

export function createFileStore(folder: string, options: FileStoreOptions = {}): Sealed {
  const compactBytes = options.compactBytes ?? COMPACT_BYTES;
  const write = options.write ?? (async (handle, bytes, at) => (await handle.write(bytes, 0, bytes.length, at)).bytesWritten);
  const sessions = new Map<string, Opened>();
  const queues = new Map<string, Promise<unknown>>();
  const folderOf = (deviceId: string): string => {
    if (!DEVICE.test(deviceId)) throw new FlotillaError('terminal', 'SESSION_CORRUPT', 'not the id of a device');
    return join(folder, deviceId);
  };
  /** one thing at a time per device */
  const inTurn = <T>(deviceId: string, task: () => Promise<T>): Promise<T> => {
    const before = queues.get(deviceId) ?? Promise.resolve();
    const mine = before.then(task, task);
    const settled = mine.then(
      () => {},
      () => {},
    );
    queues.set(deviceId, settled);
    void settled.then(() => queues.get(deviceId) === settled && queues.delete(deviceId));
    return mine;
  };

  /** L2 */
  const overtaken = async (deviceId: string, epoch: number): Promise<boolean> =>
    (await names(folderOf(deviceId))).some((name) => epochOf(name) > epoch);

  const replaceLog = async (deviceId: string, epoch: number, generation: number, entries: readonly LogEntry[]): Promise<Opened> => {
    const directory = folderOf(deviceId);
    const { bytes, places } = encodeRecord(entries);
    const name = logName(epoch, generation);
    await writeWhole(join(directory, `${name}.new`), entries.length === 0 ? Buffer.alloc(0) : bytes);
    await rename(join(directory, `${name}.new`), join(directory, name));
    await syncFolder(directory);
    for (const old of await names(directory)) {
      if (old !== name && LOG.test(old) && old < name) await rm(join(directory, old), { force: true });
      if (CLAIM.test(old) && epochOf(old) < epoch) await rm(join(directory, old), { force: true });
    }
    const kept = new Map(places.flatMap(([key, place]) => (place === null ? [] : [[key, place] as const])));
    return { epoch, generation, size: entries.length === 0 ? 0 : bytes.length, live: liveBytes(kept), places: kept };
  };

  const take = async (deviceId: string, epoch: number): Promise<Opened> => {
    const directory = folderOf(deviceId);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeWhole(join(directory, `${epochName(epoch)}.claim`), Buffer.alloc(0));
    await syncFolder(directory);
    const newest = await newestLog(directory);
    const entries = newest === null ? [] : liveEntries(newest.bytes);
    const generation = newest?.found.epoch === epoch ? newest.found.generation + 1 : 0;
    return replaceLog(deviceId, epoch, generation, entries);
  };
  const own = async (deviceId: string, epoch: number): Promise<Opened> => {
    const known = sessions.get(deviceId);
    const session = known?.epoch === epoch ? known : await take(deviceId, epoch);
    sessions.set(deviceId, session);
    return session;
  };
  const append = async (deviceId: string, epoch: number, entries: readonly LogEntry[]): Promise<boolean> => {
    if (await overtaken(deviceId, epoch)) return false;
    const session = await own(deviceId, epoch);
    const { bytes, places } = encodeRecord(entries);
    const path = join(folderOf(deviceId), logName(epoch, session.generation));
    const handle = await open(path, 'r+', 0o600);
    try {
      const written = await write(handle, bytes, session.size);
      if (written < bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes went into the log: is the disk full?`);
      await handle.datasync();
    } catch (error) {
      // L5
      sessions.delete(deviceId);
      throw error;
    } finally {
      await handle.close();
    }
    for (const [key, place] of places) {
      if (place === null) session.places.delete(key);
      else session.places.set(key, { at: place.at + session.size, length: place.length });
    }
    session.size += bytes.length;
    if (await overtaken(deviceId, epoch)) return false;
    if (session.size > compactBytes) {
      session.live = liveBytes(session.places);
      if (session.size > 4 * session.live) await compact(deviceId, session);
    }
    return true;
  };
  const compact = async (deviceId: string, session: Opened): Promise<void> => {
    const bytes = await readFile(join(folderOf(deviceId), logName(session.epoch, session.generation)));
    sessions.set(deviceId, await replaceLog(deviceId, session.epoch, session.generation + 1, liveEntries(bytes)));
  };

  const readAll = async (deviceId: string) => {
    const newest = await newestLog(folderOf(deviceId));
    const entries = newest === null ? [] : liveEntries(newest.bytes);
    const creds = entries.find(({ type }) => type === '')?.value ?? null;
    if (creds === null) return null;
    const keys = entries.flatMap(({ type, id, value }) => (type === '' || value === null ? [] : [{ type, id, value }]));
    return { creds, keys };
  };
  const devices = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    for (const deviceId of (await names(folder)).filter((name) => DEVICE.test(name)).sort()) {
      if ((await readAll(deviceId)) !== null) found.push(deviceId);
    }
    return found;
  };

  return {
    open: (deviceId, epoch) =>
      inTurn(deviceId, async () => {
        if (await overtaken(deviceId, epoch)) return (await readAll(deviceId))?.creds ?? null;
        const session = await take(deviceId, epoch);
        sessions.set(deviceId, session);
        return valueAt(join(folderOf(deviceId), logName(epoch, session.generation)), session.places.get(nameOf('', '')));
      }),
    keys: (deviceId, type, ids) =>
      inTurn(deviceId, async () => {
        const session = sessions.get(deviceId);
        const found: { id: string; value: Uint8Array }[] = [];
        if (session === undefined || (await overtaken(deviceId, session.epoch))) {
          const wanted = new Set(ids);
          return ((await readAll(deviceId))?.keys ?? []).filter((key) => key.type === type && wanted.has(key.id));
        }
        const path = join(folderOf(deviceId), logName(session.epoch, session.generation));
        for (const id of ids) {
          const value = await valueAt(path, session.places.get(nameOf(type, id)));
          if (value !== null) found.push({ id, value });
        }
        return found;
      }),
    saveCreds: (deviceId, epoch, sealed) => inTurn(deviceId, () => append(deviceId, epoch, [{ type: '', id: '', value: sealed }])),
    setKeys: (deviceId, epoch, keys) => inTurn(deviceId, () => append(deviceId, epoch, keys)),
    erase: (deviceId, epoch) =>
      inTurn(deviceId, async () => {
        if (await overtaken(deviceId, epoch)) return false;
        const { generation } = await own(deviceId, epoch);
        sessions.set(deviceId, await replaceLog(deviceId, epoch, generation + 1, []));
        return true;
      }),
    devices,
    read: (deviceId) => inTurn(deviceId, () => readAll(deviceId)),
    swap: (deviceId, changes) =>
      inTurn(deviceId, async () => {
        const directory = folderOf(deviceId);
        const newest = await newestLog(directory);
        if (newest === null) return 0;
        const fresh = new Map(changes.map((change) => [nameOf(change.type, change.id), change]));
        let swapped = 0;
        const entries = liveEntries(newest.bytes).map((entry) => {
          const change = fresh.get(nameOf(entry.type, entry.id));
          if (change === undefined || entry.value === null || Buffer.compare(entry.value, change.old) !== 0) return entry;
          swapped += 1;
          return { ...entry, value: change.fresh };
        });
        if (swapped > 0) sessions.set(deviceId, await replaceLog(deviceId, newest.found.epoch, newest.found.generation + 1, entries));
        return swapped;
      }),
    async sealing() {
      const all: { deviceId: string; creds: Uint8Array }[] = [];
      for (const deviceId of await devices()) {
        const session = await readAll(deviceId);
        if (session !== null) all.push({ deviceId, creds: session.creds });
      }
      return sealingOf(all, keyIdOf);
    },
  };
}

const epochOf = (name: string): number => Number((LOG.exec(name) ?? CLAIM.exec(name))?.[1] ?? -1);

function liveEntries(bytes: Buffer): LogEntry[] {
  return [...readLog(bytes).places].map(([name, { at, length }]) => ({ ...partsOf(name), value: bytes.subarray(at, at + length) }));
}

function liveBytes(places: ReadonlyMap<string, Place>): number {
  let sum = 0;
  for (const [name, { length }] of places) sum += length + name.length + 7;
  return sum;
}

async function names(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** The log with the highest epoch and generation; looked for again when its owner replaces it meanwhile. */
async function newestLog(directory: string): Promise<{ readonly found: Found; readonly bytes: Buffer } | null> {
  for (;;) {
    const name = (await names(directory))
      .filter((one) => LOG.test(one))
      .sort()
      .at(-1);
    if (name === undefined) return null;
    try {
      const bytes = await readFile(join(directory, name));
      const [, epoch, generation] = LOG.exec(name) ?? [];
      return { found: { name, epoch: Number(epoch), generation: Number(generation) }, bytes };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

async function valueAt(path: string, place: Place | undefined): Promise<Buffer | null> {
  if (place === undefined) return null;
  const handle = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(place.length);
    await handle.read(bytes, 0, place.length, place.at);
    return bytes;
  } finally {
    await handle.close();
  }
}

async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const handle = await open(path, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
