import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FlotillaError } from '../../schema/domain/index.ts';

/**
 * Seals bytes at rest with AES-256-GCM. The newest key seals, any key of the ring opens; the key's id stands in the blob.
 * Blob: version (1 byte, 1) · length of the key id (1) · key id (ASCII) · nonce (12) · ciphertext · tag (16).
 * `context` is authenticated and not stored: a blob moved to another row does not open.
 */
export interface KeyRing {
  /** id of the key that seals */
  readonly sealsWith: string;
  seal(plain: Uint8Array, context: string): Buffer;
  /**
   * @throws FlotillaError terminal SESSION_KEY_UNKNOWN when the ring lacks the blob's key,
   *   SESSION_CORRUPT when the bytes are damaged, cut off or belong to another context
   */
  open(blob: Uint8Array, context: string): Buffer;
}

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Reads `id:base64,id:base64` (32 bytes each, newest first).
 * @throws FlotillaError terminal SESSION_KEYS_INVALID; the message never holds a key
 */
export function parseKeyRing(text: string): KeyRing {
  const keys = new Map<string, Buffer>();
  for (const [index, entry] of text.split(',').entries()) {
    const at = entry.indexOf(':');
    const id = entry.slice(0, at).trim();
    const where = `SESSION_KEYS: entry ${index + 1}`;
    if (at < 1 || !KEY_ID.test(id)) throw invalid(`${where}: expected id:base64, the id of letters, digits, dots and dashes`);
    const key = Buffer.from(entry.slice(at + 1).trim(), 'base64');
    if (key.length !== 32) throw invalid(`${where} ("${id}"): expected base64 of 32 bytes, got ${key.length}`);
    if (keys.has(id)) throw invalid(`${where}: the id "${id}" stands twice`);
    keys.set(id, key);
  }
  const [newest] = keys;
  if (newest === undefined) throw invalid('SESSION_KEYS: expected at least one id:base64');
  return createKeyRing(newest, keys);
}

function createKeyRing([newestId, newestKey]: readonly [string, Buffer], keys: ReadonlyMap<string, Buffer>): KeyRing {
  const header = Buffer.concat([Buffer.from([VERSION, newestId.length]), Buffer.from(newestId, 'ascii')]);
  return {
    sealsWith: newestId,
    seal(plain, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', newestKey, nonce);
      cipher.setAAD(Buffer.concat([header, Buffer.from(context)]));
      return Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(blob, context) {
      const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
      const idLength = bytes[1] ?? 0;
      const start = 2 + idLength;
      if (bytes[0] !== VERSION || bytes.length < start + NONCE_BYTES + TAG_BYTES) {
        throw corrupt('it is not a sealed blob of a known version');
      }
      const id = bytes.toString('ascii', 2, start);
      const key = keys.get(id);
      if (key === undefined) {
        if (!KEY_ID.test(id)) throw corrupt('its key id is damaged');
        throw new FlotillaError(
          'terminal',
          'SESSION_KEY_UNKNOWN',
          `a session is sealed with the key "${id}", which SESSION_KEYS does not hold (it holds: ${[...keys.keys()].join(', ')})`,
        );
      }
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(start, start + NONCE_BYTES), { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.concat([bytes.subarray(0, start), Buffer.from(context)]));
      decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(start + NONCE_BYTES, bytes.length - TAG_BYTES)), decipher.final()]);
      } catch (cause) {
        throw corrupt(`it does not open with the key "${id}": damaged, foreign, or another key under the same id`, cause);
      }
    },
  };
}

/** To what a device's proxy and a webhook's secret are bound; a session's blobs: contextOf in store.ts. */
export const proxyContext = (deviceId: string): string => `proxy:${deviceId}`;
export const webhookContext = (webhookId: string): string => `webhook:${webhookId}`;

/** The id of the key that sealed a blob; null when it is not a sealed blob at all. */
export function keyIdOf(blob: Uint8Array): string | null {
  const length = blob[1] ?? 0;
  if (blob[0] !== VERSION || blob.length < 2 + length + NONCE_BYTES + TAG_BYTES) return null;
  const id = Buffer.from(blob.buffer, blob.byteOffset + 2, length).toString('ascii');
  return KEY_ID.test(id) ? id : null;
}

/**
 * The ring of this installation: SESSION_KEYS, else the file DATA_DIR/session-keys, made once with mode 0600. Two processes that
 * make it at the same moment end up with the same ring. Whoever loses the ring loses the sessions: every device must be paired again.
 * @throws FlotillaError terminal SESSION_KEYS_INVALID
 */
export function loadKeyRing(config: { readonly SESSION_KEYS?: string | undefined; readonly DATA_DIR: string }): KeyRing {
  if (config.SESSION_KEYS !== undefined) return parseKeyRing(config.SESSION_KEYS);
  const path = join(config.DATA_DIR, 'session-keys');
  const kept = readIfThere(path);
  if (kept !== undefined) return parseKeyRing(kept.trim());
  mkdirSync(config.DATA_DIR, { recursive: true });
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(fresh, `k1:${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  chmodSync(fresh, 0o600);
  try {
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(fresh);
  }
  return parseKeyRing(readFileSync(path, 'utf8').trim());
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const invalid = (message: string): FlotillaError => new FlotillaError('terminal', 'SESSION_KEYS_INVALID', message);
const corrupt = (why: string, cause?: unknown): FlotillaError =>
  new FlotillaError('terminal', 'SESSION_CORRUPT', `a stored session cannot be read: ${why}`, { cause });
