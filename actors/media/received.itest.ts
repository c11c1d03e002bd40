import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReceivedMedia } from '../../schema/domain/index.ts';
import { openReceived } from './received.ts';
import { type SealedFiles, startSealedFiles } from './testing.ts';

let files: SealedFiles;
beforeAll(async () => {
  files = await startSealedFiles();
});
afterAll(() => files.stop());

const PLAIN = randomBytes(300_000);
async function open(
  media: Pick<ReceivedMedia, 'kind' | 'path' | 'key'>,
  { mostBytes = 1_000_000, url = files.url }: { mostBytes?: number; url?: string | undefined } = {},
): Promise<Buffer> {
  const signal = new AbortController().signal;
  const settings = { WHATSAPP_MEDIA_URL: url, WHATSAPP_FORBID_REAL: true };
  const chunks: Buffer[] = [];
  for await (const chunk of await openReceived(media, settings, { mostBytes, signal, idleMs: 25_000 })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('a file that came with a message', () => {
  it.each(['image', 'video', 'audio', 'document', 'sticker'] as const)('%s: is opened as it passes', async (kind) => {
    expect((await open({ kind, ...files.add(kind, PLAIN) })).equals(PLAIN)).toBe(true);
    expect(await open({ kind, ...files.add(kind, Buffer.from('x')) })).toEqual(Buffer.from('x'));
  });

  it('tampered with, cut short, of another kind, or with a foreign key: an error, never a whole file (O3)', async () => {
    const flip = (sealed: Buffer): Buffer => {
      sealed[100] = (sealed[100] ?? 0) ^ 1;
      return sealed;
    };
    const wrong = { code: 'MEDIA_TYPE' };
    await expect(open({ kind: 'image', ...files.add('image', PLAIN, flip) })).rejects.toMatchObject(wrong);
    await expect(open({ kind: 'image', ...files.add('image', PLAIN, (sealed) => sealed.subarray(0, -16)) })).rejects.toMatchObject(wrong);
    await expect(open({ kind: 'image', ...files.add('image', PLAIN, () => Buffer.from('short')) })).rejects.toMatchObject(wrong);
    await expect(open({ kind: 'video', ...files.add('image', PLAIN) })).rejects.toMatchObject(wrong);
    await expect(open({ kind: 'image', ...files.add('image', PLAIN), key: randomBytes(32).toString('base64') })).rejects.toMatchObject(
      wrong,
    );
  });

  it('longer than wanted: not read to its end (O2); gone, or never said where: NOT_FOUND', async () => {
    await expect(open({ kind: 'image', ...files.add('image', PLAIN) }, { mostBytes: 100_000 })).rejects.toMatchObject({
      code: 'MEDIA_TOO_LARGE',
    });
    const gone = { code: 'MEDIA_NOT_FOUND' };
    await expect(open({ kind: 'image', ...files.add('image', PLAIN), path: '/v/none' })).rejects.toMatchObject(gone);
    await expect(open({ kind: 'image', path: '/v/x', key: null })).rejects.toMatchObject(gone);
    await expect(open({ kind: 'image', path: null, key: randomBytes(32).toString('base64') })).rejects.toMatchObject(gone);
  });

  it('is asked for the way that it is told to, and no other', async () => {
    const media = { kind: 'image', ...files.add('image', PLAIN) } as const;
    const settings = { WHATSAPP_MEDIA_URL: files.url, WHATSAPP_FORBID_REAL: true };
    const before = files.asked.length;
    const request = () => Promise.reject(new Error('no way out'));
    const options = { mostBytes: 1e6, signal: new AbortController().signal, idleMs: 25_000, request };
    await expect(openReceived(media, settings, options)).rejects.toMatchObject({
      code: 'MEDIA_UNREACHABLE',
      cause: { message: 'no way out' },
    });
    expect(files.asked).toHaveLength(before);
  });

  it("asks one server only, whatever the path says, and here never WhatsApp's own (O1)", async () => {
    const { key } = files.add('image', PLAIN);
    for (const path of ['//127.0.0.2/x', '/\\127.0.0.2/x', '/../../x', '/@127.0.0.2:1/x', '/v/%2e%2e/x?u=http://127.0.0.2/']) {
      const before = files.asked.length;
      await expect(open({ kind: 'image', path, key })).rejects.toMatchObject({ code: 'MEDIA_NOT_FOUND' });
      expect(files.asked.length, path).toBe(before + 1);
    }
    const settings = { WHATSAPP_FORBID_REAL: false };
    const options = { mostBytes: 1, signal: new AbortController().signal, idleMs: 1000 };
    await expect(openReceived({ kind: 'image', path: '/v/x', key }, settings, options)).rejects.toMatchObject({ code: 'MEDIA_REFUSED' });
  });
});
