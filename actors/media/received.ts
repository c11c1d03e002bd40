import { createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { AddressRefused, isLoopback, requestPublic, ServerSilent } from '../../ops/connect/index.ts';
import type { ReceivedMedia } from '../../schema/domain/index.ts';
import { MediaProblem } from './problem.ts';

/**
 * Files that people sent to a device: fetched from WhatsApp's media server and opened with the message's key, as they pass. Needs no connection of the device.
 *
 * O1. One server only is asked, whatever the sender wrote: its address is a setting, of the message only the path counts. No redirects, no private addresses
 *     (ops/connect/public-request.ts; a server that a setting names is exempt).
 * O2. Nothing is buffered but a chunk; more than `mostBytes` is never read.
 * O3. The seal is behind the file: bytes are handed on before it is checked. One that does not fit ends the stream with an error, and what came is to be thrown away.
 */
export interface OpenSettings {
  /** unset = WhatsApp's own */
  readonly WHATSAPP_MEDIA_URL?: string | undefined;
  /** true = no request to WhatsApp's own servers */
  readonly WHATSAPP_FORBID_REAL: boolean;
}
export interface OpenOptions {
  readonly mostBytes: number;
  readonly signal: AbortSignal;
  /** a server that says nothing for this long is given up */
  readonly idleMs: number;
  /** how the server is asked; default: straight. A device with a way out of its own has its files fetched that way. */
  readonly request?: typeof requestPublic;
}

const WHATSAPPS_OWN = 'https://mmg.whatsapp.net';
const MAC_BYTES = 10;
/** Source: WhatsApp Encryption Overview, "Transmitting Media and Other Attachments"; the labels as in Baileys 7, Defaults (MEDIA_HKDF_KEY_MAPPING). */
const LABELS: Readonly<Record<ReceivedMedia['kind'], string>> = {
  image: 'WhatsApp Image Keys',
  sticker: 'WhatsApp Image Keys',
  video: 'WhatsApp Video Keys',
  audio: 'WhatsApp Audio Keys',
  document: 'WhatsApp Document Keys',
};

/** The bytes as the sender had them. @throws MediaProblem before the first of them or, when it breaks off or was tampered with, between them */
export async function openReceived(
  media: Pick<ReceivedMedia, 'kind' | 'path' | 'key'>,
  settings: OpenSettings,
  options: OpenOptions,
): Promise<AsyncIterable<Buffer>> {
  const key = Buffer.from(media.key ?? '', 'base64');
  if (media.path === null || key.length !== 32) throw new MediaProblem('MEDIA_NOT_FOUND', 'its message does not say where it is');
  const response = await ask(addressOf(media.path, settings), settings, options);
  const status = response.statusCode ?? 0;
  if (status !== 200) {
    response.destroy();
    const gone = status >= 400 && status < 500 && status !== 429;
    if (gone) throw new MediaProblem('MEDIA_NOT_FOUND', 'WhatsApp does not keep it any more: the sender has to send it again');
    throw new MediaProblem('MEDIA_UNREACHABLE', `the media server answered ${status}`);
  }
  return opened(response, LABELS[media.kind], key, options.mostBytes);
}

/** O1 */
function addressOf(path: string, settings: OpenSettings, environment: Readonly<Record<string, string | undefined>> = process.env): URL {
  const base = new URL(settings.WHATSAPP_MEDIA_URL ?? WHATSAPPS_OWN);
  const forbidden = settings.WHATSAPP_FORBID_REAL || environment['WHATSAPP_FORBID_REAL'] === 'true';
  if (forbidden && !isLoopback(base.hostname))
    throw new MediaProblem('MEDIA_REFUSED', 'WHATSAPP_FORBID_REAL=true: only a media server on this machine is asked');
  const url = new URL(base);
  const at = path.indexOf('?');
  url.pathname = at < 0 ? path : path.slice(0, at);
  url.search = at < 0 ? '' : path.slice(at);
  return url;
}

async function ask(url: URL, settings: OpenSettings, { signal, idleMs, request = requestPublic }: OpenOptions): Promise<IncomingMessage> {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  try {
    return await request(url, {
      method: 'GET',
      headers: { accept: '*/*', origin: 'https://web.whatsapp.com' },
      allowed: settings.WHATSAPP_MEDIA_URL === undefined ? [] : [`${url.hostname}:${port}`],
      signal,
      idleMs,
    });
  } catch (error) {
    if (error instanceof AddressRefused) throw new MediaProblem('MEDIA_REFUSED', error.message);
    if (error instanceof ServerSilent) throw new MediaProblem('MEDIA_UNREACHABLE', error.message);
    throw new MediaProblem('MEDIA_UNREACHABLE', 'the media server cannot be reached', error);
  }
}

/** AES-256-CBC with ten bytes of HMAC-SHA256 over IV and file behind it. */
async function* opened(source: AsyncIterable<Buffer>, label: string, key: Buffer, mostBytes: number): AsyncGenerator<Buffer> {
  const keys = Buffer.from(hkdfSync('sha256', key, Buffer.alloc(32), label, 112));
  const iv = keys.subarray(0, 16);
  const decipher = createDecipheriv('aes-256-cbc', keys.subarray(16, 48), iv);
  const seal = createHmac('sha256', keys.subarray(48, 80)).update(iv);
  let tail = Buffer.alloc(0);
  let bytes = 0;
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw new MediaProblem('MEDIA_TOO_LARGE', `at most ${mostBytes} bytes are fetched`);
      const all = Buffer.concat([tail, chunk]);
      const ready = all.subarray(0, Math.max(0, all.length - MAC_BYTES));
      tail = all.subarray(ready.length);
      seal.update(ready);
      const plain = decipher.update(ready);
      if (plain.length > 0) yield plain;
    }
    const fits = tail.length === MAC_BYTES && timingSafeEqual(seal.digest().subarray(0, MAC_BYTES), tail);
    if (!fits) throw new MediaProblem('MEDIA_TYPE', 'its seal does not fit: it is not what was sent');
    yield decipher.final();
  } catch (error) {
    if (error instanceof MediaProblem) throw error;
    throw new MediaProblem('MEDIA_UNREACHABLE', 'it broke off', error);
  }
}
