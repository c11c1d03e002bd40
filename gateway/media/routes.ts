import {
  checkType,
  kindOf,
  MediaProblem,
  type OpenSettings,
  openReceived,
  plainType,
  tooLarge,
  type Uploads,
} from '../../actors/media/index.ts';
import { type ProxySeal, requestThrough } from '../../actors/transports/whatsapp/index.ts';
import type { Sql } from '../../ops/connect/index.ts';
import { FlotillaError, isUuid, MEDIA_KINDS, MEDIA_LIMITS, type MediaKind, uuidV7 } from '../../schema/domain/index.ts';
import type { AuditPort } from '../../schema/graphql/index.ts';
import { findReceived } from '../../schema/sql/index.ts';
import { HttpError, type HttpHandler, type HttpRequest, type Server } from '../server/index.ts';
import { createHttpViewer, type Guard, type HttpViewerDeps } from '../system/index.ts';
import type { AskAgain } from './again.ts';

/**
 * Files over HTTP: what people sent to devices, fetched from WhatsApp and opened as it passes; and what is to be sent, taken as it comes. Owns the numbers of
 * downloads and of uploads under way here.
 *
 * F1. A foreign file is never shown as a page of ours: it is an attachment, of a type that runs nothing, in a sandbox.
 * F2. One whose seal does not fit, or that is too long, is cut off: the client sees an answer that is not whole.
 */
export interface MediaRoutesDeps extends HttpViewerDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly audit: AuditPort;
  readonly config: OpenSettings & { readonly MEDIA_DOWNLOAD_BYTES: number };
  readonly uploads: Uploads;
  readonly askAgain: AskAgain;
  /** a device's files come through its proxy, or not at all */
  readonly proxies: Pick<ProxySeal, 'open'>;
}

export const UPLOAD_PATH = '/api/media';
export const RECEIVED_PATH = '/api/media/received';
/** downloads at a time in one gateway; guess */
const AT_ONCE = 32;
/** uploads at a time in one gateway; guess */
const UPLOADS_AT_ONCE = 8;
const IDLE_MS = 15_000;
const HARMLESS = /^(image\/(jpeg|png|webp|gif)|video\/(mp4|3gpp)|audio\/(ogg|mpeg|mp4|aac|amr)|application\/pdf)$/;
const STATUS: Readonly<Record<MediaProblem['code'], number>> = {
  MEDIA_REFUSED: 502,
  MEDIA_TOO_LARGE: 413,
  MEDIA_TYPE: 502,
  MEDIA_NOT_FOUND: 410,
  MEDIA_UNREACHABLE: 502,
};

const UPLOAD_STATUS: Readonly<Record<MediaProblem['code'], number>> = {
  MEDIA_REFUSED: 507,
  MEDIA_TOO_LARGE: 413,
  MEDIA_TYPE: 415,
  MEDIA_NOT_FOUND: 404,
  MEDIA_UNREACHABLE: 408,
};
const GONE = 'WhatsApp does not keep it any more';
const NOT_AGAIN: Readonly<Record<Exclude<Awaited<ReturnType<AskAgain>>, 'again'>, readonly [number, string]>> = {
  gone: [410, `MEDIA_GONE: ${GONE}, and the phone of the device does not have it either: the sender has to send it again`],
  failed: [502, `MEDIA_NOT_UPLOADED: ${GONE}; the phone of the device was asked to upload it again, and could not`],
  unanswered: [
    504,
    `MEDIA_UNANSWERED: ${GONE}; the phone of the device was asked to upload it again and has not answered: whether it still can is not known`,
  ],
  offline: [503, `MEDIA_DEVICE_OFFLINE: ${GONE}; its device is not connected, so its phone cannot be asked now`],
};
const MOST_UPLOAD = Math.max(...MEDIA_KINDS.map((kind) => MEDIA_LIMITS[kind].bytes));
const MOST_NAME = 200;

export function addMediaRoutes(server: Pick<Server, 'http'>, deps: MediaRoutesDeps): void {
  const { sql, guard, config, telemetry, clock } = deps;
  const viewerOf = createHttpViewer(deps);
  let running = 0;
  let uploading = 0;

  const download: HttpHandler = async (request) => {
    const viewer = await viewerOf(request, 'viewer');
    const [, deviceId = '', said = ''] = /^\/api\/media\/received\/([0-9a-f-]{36})\/([^/]{1,300})$/.exec(request.path) ?? [];
    const id = isUuid(deviceId) ? decoded(said) : null;
    const found = id === null ? null : await guard(() => findReceived(sql, viewer.tenantId, deviceId, id));
    if (found?.media == null) throw new HttpError(404, 'no received message with this id and a file in this tenant');
    const { media } = found;
    const mostBytes = config.MEDIA_DOWNLOAD_BYTES;
    if ((media.bytes ?? 0) > mostBytes) throw new HttpError(413, `it has ${media.bytes} bytes, at most ${mostBytes} are handed out`);
    if (running >= AT_ONCE) {
      telemetry.count('limit.rejected', 1, { limit: 'downloads' });
      throw new HttpError(429, `${AT_ONCE} downloads are under way here: try again`, { 'retry-after': '2' });
    }
    running += 1;
    // the answer's own end: it was sent, or the client went away
    if (request.signal.aborted) running -= 1;
    else request.signal.addEventListener('abort', () => (running -= 1), { once: true });
    await deps.audit({ viewer, action: 'downloadMedia', subject: deviceId, detail: { kind: media.kind } });
    try {
      const proxy = deps.proxies.open(deviceId, found.deviceSettings);
      const way = proxy === null ? {} : { request: requestThrough(proxy) };
      const open = (from: typeof media) => openReceived(from, config, { mostBytes, signal: request.signal, idleMs: IDLE_MS, ...way });
      const body = await open(media).catch(async (error: unknown) => {
        const wanted = { deviceId, messageId: found.id };
        const gone = error instanceof MediaProblem && error.code === 'MEDIA_NOT_FOUND' && media.path !== null && media.key !== null;
        if (!gone || found.transport !== 'whatsapp') throw error;
        refuse(await deps.askAgain(wanted, request.signal));
        const anew = await guard(() => findReceived(sql, viewer.tenantId, deviceId, wanted.messageId));
        return open(anew?.media ?? media);
      });
      return { status: 200, headers: headersOf(media.type, media.fileName), body, cut: request.signal };
    } catch (error) {
      if (error instanceof FlotillaError && error.code === 'PROXY_UNREADABLE') throw new HttpError(502, error.message);
      if (!(error instanceof MediaProblem)) throw error;
      throw new HttpError(STATUS[error.code], error.message);
    }
  };

  const upload: HttpHandler = async (request) => {
    const viewer = await viewerOf(request, 'sender');
    const asked = uploadOf(request);
    if (uploading >= UPLOADS_AT_ONCE) {
      telemetry.count('limit.rejected', 1, { limit: 'uploads' });
      throw new HttpError(429, `${UPLOADS_AT_ONCE} uploads are under way here: try again`, { 'retry-after': '2' });
    }
    uploading += 1;
    try {
      const row = await deps.uploads.put({ id: uuidV7(clock.wall()), tenantId: viewer.tenantId, ...asked }, request.chunks());
      await deps.audit({ viewer, action: 'uploadMedia', subject: row.id, detail: { kind: row.kind, bytes: row.bytes } });
      const { id, kind, type, bytes, fileName, expiresAt } = row;
      const body = JSON.stringify({ id, kind, type, bytes, fileName, expiresAt: new Date(expiresAt).toISOString() });
      return { status: 201, headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }, body };
    } catch (error) {
      if (!(error instanceof MediaProblem)) throw error;
      throw new HttpError(UPLOAD_STATUS[error.code], error.message);
    } finally {
      uploading -= 1;
    }
  };

  server.http('POST', UPLOAD_PATH, upload, { bodyLimitBytes: MOST_UPLOAD, streamed: true });
  server.http('GET', `${RECEIVED_PATH}/*`, download);
}

/** @throws HttpError unless the phone has uploaded the file again */
function refuse(word: Awaited<ReturnType<AskAgain>>): void {
  if (word === 'again') return;
  const [status, why] = NOT_AGAIN[word];
  throw new HttpError(status, why, status === 503 || status === 504 ? { 'retry-after': '30' } : {});
}

/** What an upload says of itself. @throws HttpError 400, 413 or 415 before a byte is taken */
function uploadOf(request: HttpRequest): { readonly kind: MediaKind; readonly type: string; readonly fileName: string | null } {
  const said = new URLSearchParams(request.query);
  for (const name of said.keys())
    if (name !== 'kind' && name !== 'fileName') throw new HttpError(400, `${name.slice(0, 40)}: expected kind or fileName`);
  const type = plainType(request.headers['content-type']);
  const named = said.get('kind');
  const kind = named === null ? kindOf(type) : MEDIA_KINDS.find((one) => one === named);
  if (kind === undefined) throw new HttpError(400, `kind: expected one of ${MEDIA_KINDS.join(', ')}`);
  if (type.length > MOST_NAME || !/^[\w.+-]+\/[\w.+-]+$/.test(type))
    throw new HttpError(415, 'content-type: expected a media type such as image/jpeg');
  const fileName = said.get('fileName');
  if (fileName !== null && (fileName.length > MOST_NAME || /[\p{C}/\\]/u.test(fileName)))
    throw new HttpError(400, `fileName: expected a name of at most ${MOST_NAME} characters, without slashes`);
  try {
    checkType(kind, type);
    const length = Number(request.headers['content-length'] ?? 0);
    if (length > MEDIA_LIMITS[kind].bytes) throw tooLarge(kind, length);
  } catch (error) {
    if (!(error instanceof MediaProblem)) throw error;
    throw new HttpError(UPLOAD_STATUS[error.code], error.message);
  }
  return { kind, type, fileName: fileName === '' ? null : fileName };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** F1 */
function headersOf(type: string, fileName: string | null): Readonly<Record<string, string>> {
  const name = encodeURIComponent(fileName ?? 'file').replace(/['()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  return {
    'content-type': HARMLESS.test(type) ? type : 'application/octet-stream',
    'content-disposition': `attachment; filename*=UTF-8''${name}`,
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, no-store',
  };
}
