import type { Sql } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { isMedia, isUuid, type MessageContent, whatsappIdOf } from '../../../schema/domain/index.ts';
import { MediaProblem } from '../../media/index.ts';
import type { OutboundMessage, SendOutcome } from '../port.ts';
import type { Line, Reference } from './line-port.ts';
import type { MediaDesk } from './media-desk.ts';

/**
 * Makes a message that is more than a text ready to be sent: what it refers to is found, its media are fetched and uploaded, and what goes over the wire
 * is kept in the ledger, so that another attempt, another node and a recipient who asks again all get the same.
 * Owns: nothing that lasts. Called by device-connection.ts before an attempt is written.
 */
export interface Contents {
  /** the bytes to send, or why they cannot be had now. Never rejects. */
  prepare(deviceId: string, line: Line, message: OutboundMessage & { readonly content: MessageContent }): Promise<Prepared>;
}
export type Prepared = { readonly kind: 'ready'; readonly wire: Uint8Array } | Extract<SendOutcome, { kind: 'rejected' }>;

/** media under way are looked after again in this time */
const PENDING_MS = 10_000;

const findReference = readAsset(import.meta.url, './find-reference.sql');
const loadWire = readAsset(import.meta.url, './load-wire.sql');
const keepWire = readAsset(import.meta.url, './keep-wire.sql');

const refused = (code: string, detail: string, retryAfterMs?: number): Prepared => ({
  kind: 'rejected',
  retry: retryAfterMs !== undefined,
  code,
  detail,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

export function createContents(deps: { readonly sql: Sql; readonly desk: MediaDesk; readonly log: Log }): Contents {
  const { sql, desk, log } = deps;
  const kept = async (messageId: string): Promise<Uint8Array | null> => {
    const rows = await sql.unsafe<{ wire: Uint8Array | null }[]>(loadWire, [messageId], { prepare: true });
    return rows[0]?.wire ?? null;
  };
  /** null: there is no such message; undefined: none is named */
  const referenceOf = async (deviceId: string, content: MessageContent): Promise<Reference | null | undefined> => {
    const id = content.kind === 'reaction' ? content.to : content.replyTo;
    if (id === undefined) return undefined;
    const rows = await sql.unsafe<{ id: string; ours: boolean; body: string }[]>(
      findReference,
      [deviceId, isUuid(id) ? id : null, isUuid(id) ? null : id],
      { prepare: true },
    );
    const row = rows[0];
    return row === undefined ? null : { wireId: row.ours ? whatsappIdOf(row.id) : row.id, ours: row.ours, body: row.body };
  };
  const prepare: Contents['prepare'] = async (deviceId, line, message) => {
    const { id, to, body, content } = message;
    const earlier = await kept(id);
    if (earlier !== null) return { kind: 'ready', wire: earlier };
    const reference = await referenceOf(deviceId, content);
    if (reference === null)
      return refused('REFERENCE_NOT_FOUND', 'the message that this one answers or reacts to is not known to this device');
    const about = { content, to, body, reference: reference ?? null };
    const wire = isMedia(content)
      ? await desk.ready(id, content, (file, { type }) => line.compose({ ...about, media: { file, type } }))
      : await line.compose(about);
    if (wire === null) return refused('MEDIA_PENDING', 'its media are being fetched and uploaded', PENDING_MS);
    await sql.unsafe(keepWire, [id, Buffer.from(wire).toString('base64')], { prepare: true });
    desk.forget(id);
    return { kind: 'ready', wire };
  };
  return {
    async prepare(deviceId, line, message) {
      try {
        return await prepare(deviceId, line, message);
      } catch (error) {
        log.warn('whatsapp.content', { device: deviceId, kind: message.content.kind }, error);
        if (!(error instanceof MediaProblem))
          return refused('CONTENT_FAILED', 'the content could not be made ready; nothing was sent', PENDING_MS);
        return error.retry ? refused(error.code, error.message, PENDING_MS) : refused(error.code, error.message);
      }
    },
  };
}
