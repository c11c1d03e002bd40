import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import {
  MEDIA_WANTED_CHANNEL,
  type MediaAgain,
  type MediaWanted,
  mediaAgainKey,
  type ReceivedMedia,
} from '../../../schema/domain/index.ts';
import { pathOf } from './received-media.ts';

/**
 * Received files that WhatsApp does not keep any more: the device's own phone is asked to upload one again. Asked for over Redis (gateway/media), by whoever
 * wants the file; the node that has the device answers, with a word in Redis and the new place in the row.
 * Owns: the questions under way on this node. Does not own: sockets, downloads. Called by device-connection.ts (`watch`).
 *
 * A1. One question for a file at a time, at most `MOST` on a node.
 * A2. No answer in time is said as such (`unanswered`): the phone may be off, or may answer later. A late answer is still written down.
 * A3. A place that looks like none is not written down.
 */
export interface MediaAgainDesk {
  /** `ask`: how this device asks; the result stops it */
  watch(deviceId: string, ask: AskAgain): () => void;
}

/** Null: there is no connection, or this owner may not act. @throws MediaGone; anything else = not known */
export type AskAgain = (wanted: WantedMedia) => Promise<string | null> | null;
export interface WantedMedia {
  readonly id: string;
  readonly chat: string;
  readonly kind: ReceivedMedia['kind'];
  /** base64 */
  readonly key: string;
}
/** The phone has answered, and not with the file. */
export class MediaGone extends Error {
  override readonly name = 'MediaGone';
  /** false: it has it, but could not do it */
  readonly forGood: boolean;
  constructor(forGood: boolean) {
    super('the phone did not upload it again');
    this.forGood = forGood;
  }
}

export interface MediaAgainDeps {
  readonly sql: Sql;
  readonly redis: Pick<Redis, 'set'>;
  readonly subscribe?: ((channel: string, handler: (text: string) => void) => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

const MOST = 32;
/** questions remembered whose answer has not come; the oldest is forgotten first */
const MOST_OPEN = 1000;
/** how long each word stands: who comes back sooner is told the same, and the phone is left alone */
const KEPT_MS: Readonly<Record<MediaAgain, number>> = {
  asking: 60_000,
  again: 5_000,
  gone: 600_000,
  failed: 60_000,
  unanswered: 30_000,
  offline: 1_000,
};
const findMedia = readAsset(import.meta.url, './find-media.sql');
const keepMediaPath = readAsset(import.meta.url, './keep-media-path.sql');

interface Row {
  readonly sender: string;
  readonly sender_lid: string | null;
  readonly media: ReceivedMedia;
}
/** the JID of the chat; of messages that did not keep it, from whom they are */
const chatOf = ({ sender, sender_lid, media }: Row): string =>
  media.chat ?? (sender.startsWith('+') ? `${sender.slice(1)}@s.whatsapp.net` : (sender_lid ?? sender));

export function createMediaAgain(deps: MediaAgainDeps, answerMs: number): MediaAgainDesk {
  const { sql, redis, clock, log } = deps;
  const devices = new Map<string, AskAgain>();
  /** the phones' answers that have not come yet, by file */
  const open = new Map<string, Promise<MediaAgain>>();
  const running = new Set<string>();

  const say = async ({ deviceId, messageId }: MediaWanted, word: MediaAgain): Promise<void> => {
    await redis.set(mediaAgainKey(deviceId, messageId), word, 'PX', KEPT_MS[word]);
  };
  /** A2, A3 */
  const settle = async (wanted: MediaWanted, asked: Promise<string | null>): Promise<MediaAgain> => {
    try {
      const path = pathOf(await asked);
      if (path === null) return 'failed';
      await sql.unsafe(keepMediaPath, [wanted.deviceId, wanted.messageId, path], { prepare: true });
      return 'again';
    } catch (error) {
      if (error instanceof MediaGone) return error.forGood ? 'gone' : 'failed';
      log.warn('whatsapp.media.again', { device: wanted.deviceId }, error);
      return 'unanswered';
    }
  };
  /** A1: a phone that still owes an answer is not asked again */
  const question = (wanted: MediaWanted, ask: () => Promise<string | null> | null): Promise<MediaAgain> | null => {
    const name = mediaAgainKey(wanted.deviceId, wanted.messageId);
    const before = open.get(name);
    if (before !== undefined) return before;
    const asked = ask();
    if (asked === null) return null;
    const settled: Promise<MediaAgain> = settle(wanted, asked).finally(() => open.get(name) === settled && open.delete(name));
    open.set(name, settled);
    const [oldest] = open.keys();
    if (open.size > MOST_OPEN && oldest !== undefined) open.delete(oldest);
    return settled;
  };
  const run = async (wanted: MediaWanted, ask: AskAgain): Promise<void> => {
    const [row] = await sql.unsafe<Row[]>(findMedia, [wanted.deviceId, wanted.messageId], { prepare: true });
    if (row === undefined || row.media.key === null) return say(wanted, 'gone');
    const settled = question(wanted, () =>
      ask({ id: wanted.messageId, chat: chatOf(row), kind: row.media.kind, key: row.media.key ?? '' }),
    );
    if (settled === null) return say(wanted, 'offline');
    await say(wanted, 'asking');
    const controller = new AbortController();
    const late = clock.sleep(answerMs, controller.signal).then(
      () => 'unanswered' as const,
      () => 'unanswered' as const,
    );
    const word = await Promise.race([settled, late]);
    controller.abort();
    await say(wanted, word);
  };
  const wantedOf = (text: string): MediaWanted | null => {
    try {
      const { deviceId, messageId } = JSON.parse(text) as Partial<MediaWanted>;
      return typeof deviceId === 'string' && typeof messageId === 'string' ? { deviceId, messageId } : null;
    } catch {
      return null;
    }
  };
  const heard = (text: string): void => {
    const wanted = wantedOf(text);
    const ask = wanted === null ? undefined : devices.get(wanted.deviceId);
    if (wanted === null || ask === undefined) return;
    const name = mediaAgainKey(wanted.deviceId, wanted.messageId);
    // A1: who asks too much hears nothing, and comes again
    if (running.has(name) || running.size >= MOST) return;
    running.add(name);
    run(wanted, ask)
      .catch((error: unknown) => log.warn('whatsapp.media.again', { device: wanted.deviceId }, error))
      .finally(() => running.delete(name));
  };
  deps.subscribe?.(MEDIA_WANTED_CHANNEL, heard).catch((error: unknown) => log.warn('whatsapp.media.subscribe', {}, error));

  return {
    watch(deviceId, ask) {
      devices.set(deviceId, ask);
      return () => {
        if (devices.get(deviceId) === ask) devices.delete(deviceId);
      };
    },
  };
}
