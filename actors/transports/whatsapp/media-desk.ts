import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import { type MediaContent, uploadOf } from '../../../schema/domain/index.ts';
import { checked, checkType, MediaProblem, type openUpload } from '../../media/index.ts';
import { createConnectSlots } from './connect-slots.ts';
import { type FetchedMedia, fetchMedia } from './media-fetch.ts';

/**
 * Media on their way from an address, or from what was uploaded, to WhatsApp's media server. A send may not wait for them (its time is short, the lane behind it waits): the first
 * attempt begins the work and is told to come again, a later one finds it done.
 * Owns: what is under way and what is done, by message, the folder of files. Does not own: what WhatsApp makes of it (`upload` of the line), the ledger.
 *
 * D1. At most `atOnce` are under way on a node, each for at most `mostMs`; the files are gone when its work ends.
 * D2. A message's work is done once: what came of it is kept for `keptMs`, failures too.
 */
export interface MediaDesk {
  /** null: not done yet, come again. @throws MediaProblem, or the upload's error */
  ready(messageId: string, content: MediaContent, upload: Upload): Promise<Uint8Array | null>;
  forget(messageId: string): void;
}

/** Hands the file to WhatsApp; the result is the message as it goes over the wire. */
export type Upload = (file: string, fetched: FetchedMedia) => Promise<Uint8Array>;

export interface MediaDeskDeps {
  readonly clock: Clock;
  /** a file that was uploaded */
  upload(id: string): ReturnType<typeof openUpload>;
}

export interface MediaDeskOptions {
  /** exempt from the ban on private addresses: `host:port` */
  readonly allowed: readonly string[];
  readonly atOnce?: number;
  /** longest work on one message: fetch and upload */
  readonly mostMs?: number;
  readonly idleMs?: number;
  readonly keptMs?: number;
  /** how long an attempt waits for work that is nearly done */
  readonly patienceMs?: number;
}

type Outcome = { readonly wire: Uint8Array } | { readonly error: unknown };
interface Work {
  outcome: Outcome | undefined;
  readonly done: Promise<Outcome>;
}

export function createMediaDesk(deps: MediaDeskDeps, options: MediaDeskOptions): MediaDesk {
  const { clock } = deps;
  const { mostMs = 120_000, idleMs = 15_000, keptMs = 600_000, patienceMs = 2000 } = options;
  const works = new Map<string, Work>();
  const slots = createConnectSlots(options.atOnce ?? 4);

  const work = async (content: MediaContent, upload: Upload): Promise<Outcome> => {
    const release = await slots.take();
    const controller = new AbortController();
    const cancel = clock.after(mostMs, () => controller.abort(new Error('it took too long')), { background: true });
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-media-'));
    try {
      const file = join(folder, 'media');
      const uploadId = uploadOf(content.url);
      const fetched =
        uploadId === null
          ? await fetchMedia(content.url, content.kind, file, { allowed: options.allowed, signal: controller.signal, idleMs })
          : await keptMedia(uploadId, content.kind, file, controller.signal);
      return { wire: await upload(file, fetched) };
    } catch (error) {
      return { error };
    } finally {
      cancel();
      release();
      await rm(folder, { recursive: true, force: true });
    }
  };
  const keptMedia = async (id: string, kind: MediaContent['kind'], file: string, signal: AbortSignal): Promise<FetchedMedia> => {
    const { row, bytes } = await deps.upload(id);
    // it was checked as what it was uploaded as
    checkType(kind, row.type);
    const out = createWriteStream(file, { mode: 0o600 });
    await pipeline(bytes, (source: AsyncIterable<Buffer>) => checked(kind, source), out, { signal });
    return { type: row.type, bytes: out.bytesWritten };
  };
  const begin = (messageId: string, content: MediaContent, upload: Upload): Work => {
    const done = work(content, upload).catch((error: unknown): Outcome => ({ error }));
    const entry: Work = { outcome: undefined, done };
    works.set(messageId, entry);
    void done.then((outcome) => {
      entry.outcome = outcome;
      clock.after(keptMs, () => works.get(messageId) === entry && works.delete(messageId), { background: true });
    });
    return entry;
  };

  return {
    async ready(messageId, content, upload) {
      const entry = works.get(messageId) ?? begin(messageId, content, upload);
      const controller = new AbortController();
      const patience = clock.sleep(patienceMs, controller.signal).then(
        () => undefined,
        () => undefined,
      );
      const outcome = entry.outcome ?? (await Promise.race([entry.done, patience]));
      controller.abort();
      if (outcome === undefined) return null;
      if ('wire' in outcome) return outcome.wire;
      // what may work later is tried anew by the next attempt
      if (!(outcome.error instanceof MediaProblem) || outcome.error.retry) works.delete(messageId);
      throw outcome.error;
    },
    forget: (messageId) => void works.delete(messageId),
  };
}
