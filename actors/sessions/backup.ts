import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { FlotillaError } from '../../schema/domain/index.ts';
import type { KeyRing } from './key-ring.ts';
import { fenced, type PlaceDeps, placeSession } from './place.ts';
import type { Sealed, SealedKey } from './sealed.ts';
import { contextOf } from './store.ts';

/**
 * Sessions in one file: a head, one line per device, an end that counts them and holds the SHA-256 of all before it. Everything stays sealed: the file
 * is worth nothing without the key ring, and everything with it. A session that is older than the phone's own state does not come back to life in
 * peace: people who were written to since see "waiting for this message" until their retry; restore only what is lost.
 */
const Head = z.object({ flotilla: z.literal('sessions'), version: z.literal(1), at: z.string() });
const Line = z.object({ device: z.uuid(), creds: z.base64(), keys: z.array(z.tuple([z.string(), z.string(), z.base64()])) });
const End = z.object({ end: z.number(), sha256: z.string() });

/** At most so many keys are written at once. */
const AT_ONCE = 500;

/** Writes all sessions to a new file (0600). @throws Error when the file is there already */
export async function backupSessions(
  sealed: Sealed,
  file: string,
  at: Date,
): Promise<{ readonly sessions: number; readonly bytes: number }> {
  const handle = await open(file, 'wx', 0o600);
  const hash = createHash('sha256');
  let bytes = 0;
  let sessions = 0;
  const say = async (value: unknown): Promise<void> => {
    const text = `${JSON.stringify(value)}\n`;
    hash.update(text);
    bytes += Buffer.byteLength(text);
    await handle.appendFile(text);
  };
  const base64 = (value: Uint8Array): string => Buffer.from(value).toString('base64');
  try {
    await say({ flotilla: 'sessions', version: 1, at: at.toISOString() });
    for (const device of await sealed.devices()) {
      const session = await sealed.read(device);
      if (session === null) continue;
      await say({ device, creds: base64(session.creds), keys: session.keys.map(({ type, id, value }) => [type, id, base64(value)]) });
      sessions += 1;
    }
    await say({ end: sessions, sha256: hash.copy().digest('hex') });
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { sessions, bytes };
}

/** Is the file whole? @throws FlotillaError terminal BACKUP_DAMAGED; nothing has been read into anything then */
export async function checkBackup(file: string): Promise<{ readonly sessions: number }> {
  const hash = createHash('sha256');
  let sessions = -1;
  for await (const text of lines(file)) {
    const end = End.safeParse(parse(text));
    if (end.success) {
      if (end.data.end !== sessions || end.data.sha256 !== hash.digest('hex')) throw damaged('its end does not fit to what is before it');
      return { sessions };
    }
    const fits = sessions < 0 ? Head.safeParse(parse(text)).success : Line.safeParse(parse(text)).success;
    if (!fits) throw damaged(`line ${sessions + 2} is not what it should be`);
    hash.update(`${text}\n`);
    sessions += 1;
  }
  throw damaged('its end is missing');
}

export interface Restored {
  readonly restored: readonly string[];
  readonly refused: readonly { readonly device: string; readonly code: string }[];
}

/**
 * Puts the sessions of a backup in place: those whose device exists, has no session (or `replace`) and whose creds the ring opens. The others are named.
 * @throws FlotillaError terminal BACKUP_DAMAGED before anything is written
 */
export async function restoreSessions(
  deps: PlaceDeps & { readonly ring: KeyRing },
  file: string,
  options: { readonly replace: boolean; readonly only?: ReadonlySet<string> },
): Promise<Restored> {
  await checkBackup(file);
  const restored: string[] = [];
  const refused: { device: string; code: string }[] = [];
  for await (const text of lines(file)) {
    const parsed = Line.safeParse(parse(text));
    if (!parsed.success || options.only?.has(parsed.data.device) === false) continue;
    const { device } = parsed.data;
    try {
      const creds = Buffer.from(parsed.data.creds, 'base64');
      deps.ring.open(creds, contextOf(device, 'creds', ''));
      await placeSession(deps, device, options.replace, async (epoch) => {
        const keys = parsed.data.keys.map(([type, id, value]): SealedKey => ({ type, id, value: Buffer.from(value, 'base64') }));
        for (let from = 0; from < keys.length; from += AT_ONCE) {
          if (!(await deps.sealed.setKeys(device, epoch, keys.slice(from, from + AT_ONCE)))) throw fenced(device);
        }
        if (!(await deps.sealed.saveCreds(device, epoch, creds))) throw fenced(device);
      });
      restored.push(device);
    } catch (error) {
      if (!(error instanceof FlotillaError)) throw error;
      refused.push({ device, code: error.code });
    }
  }
  return { restored, refused };
}

function lines(file: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const damaged = (why: string): FlotillaError =>
  new FlotillaError('terminal', 'BACKUP_DAMAGED', `this is not a whole backup of sessions: ${why}`);
