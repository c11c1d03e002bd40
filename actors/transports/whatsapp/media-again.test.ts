import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { MEDIA_WANTED_CHANNEL } from '../../../schema/domain/index.ts';
import { createMediaAgain, MediaGone, type WantedMedia } from './media-again.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const KEY = Buffer.alloc(32, 1).toString('base64');

function world() {
  let tell: (text: string) => void = () => {};
  const words: string[] = [];
  const paths: unknown[] = [];
  const late: (() => void)[] = [];
  const media = { kind: 'image', key: KEY, path: '/old', chat: '77@lid' };
  const rows: Record<string, unknown> = {
    m: { sender: '+49170', sender_lid: '77@lid', media },
    old: { sender: '+49170', sender_lid: '77@lid', media: { ...media, chat: undefined } },
    lid: { sender: '77@lid', sender_lid: '77@lid', media: { ...media, chat: undefined } },
    keyless: { sender: '+49170', sender_lid: null, media: { ...media, key: null } },
  };
  const desk = createMediaAgain(
    {
      sql: {
        unsafe: async (text: string, [, id, path]: unknown[]) => {
          if (!text.includes('jsonb_set')) return rows[String(id)] === undefined ? [] : [rows[String(id)]];
          paths.push(path);
          return [];
        },
      } as never,
      redis: { set: (async (key: string, word: string) => words.push(`${key.split(':').at(-1)} ${word}`)) as never },
      subscribe: async (channel, handler) => {
        expect(channel).toBe(MEDIA_WANTED_CHANNEL);
        tell = handler;
      },
      // time is up when the test says so
      clock: {
        ...systemClock,
        sleep: (_ms, signal) =>
          new Promise((up, down) => {
            late.push(() => up());
            signal?.addEventListener('abort', () => down(new Error('aborted')));
          }),
      },
      log: quiet,
    },
    20_000,
  );
  const asked: WantedMedia[] = [];
  const phone: { answer(path: string | null): void; refuse(error: unknown): void }[] = [];
  const stop = desk.watch('d', (wanted) => {
    asked.push(wanted);
    return new Promise((answer, refuse) => phone.push({ answer, refuse }));
  });
  const want = (messageId: string, deviceId = 'd') => tell(JSON.stringify({ deviceId, messageId }));
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 60; turn++) await Promise.resolve();
  };
  return { desk, words, paths, asked, phone, late, want, stop, settled };
}

describe('asking the phone for a file again', () => {
  it('the phone uploads it: its place is written down before that is said', async () => {
    const { want, asked, phone, words, paths, settled } = world();
    want('m');
    await settled();
    expect(asked).toEqual([{ id: 'm', chat: '77@lid', kind: 'image', key: KEY }]);
    phone[0]?.answer('/v/new');
    await settled();
    expect([words, paths]).toEqual([['m asking', 'm again'], ['/v/new']]);
    for (const [id, chat] of [
      ['old', '49170@s.whatsapp.net'],
      ['lid', '77@lid'],
    ] as const) {
      want(id);
      await settled();
      expect(asked.at(-1)?.chat).toBe(chat);
    }
  });

  it.each([
    [new MediaGone(true), 'gone'],
    [new MediaGone(false), 'failed'],
    [new Error('the socket went'), 'unanswered'],
  ])('%s: %s', async (error, word) => {
    const { want, phone, words, paths, settled } = world();
    want('m');
    await settled();
    phone[0]?.refuse(error);
    await settled();
    expect([words, paths]).toEqual([['m asking', `m ${word}`], []]);
  });

  it('A1, A2: no answer in time is said as such; the phone is not asked again while it owes one, and a late one is written down', async () => {
    const { want, asked, phone, words, paths, late, settled } = world();
    want('m');
    want('m');
    await settled();
    expect(asked).toHaveLength(1);
    late[0]?.();
    await settled();
    expect(words).toEqual(['m asking', 'm unanswered']);
    want('m');
    await settled();
    expect(asked).toHaveLength(1);
    phone[0]?.answer('/v/late');
    await settled();
    expect([words.at(-1), paths]).toEqual(['m again', ['/v/late']]);
    want('m');
    await settled();
    expect(asked).toHaveLength(2);
  });

  it('A3: a place that is none is not written down', async () => {
    const { want, phone, words, paths, settled } = world();
    for (const place of ['https://elsewhere/x', null, '', `/${'x'.repeat(5000)}`]) {
      want('m');
      await settled();
      phone.at(-1)?.answer(place);
      await settled();
      expect(words.at(-1)).toBe('m failed');
    }
    expect(paths).toEqual([]);
  });

  it('says gone of what has no file, nothing of devices that are not here, offline without a connection', async () => {
    const { desk, want, asked, words, stop, settled } = world();
    want('keyless');
    await settled();
    want('none');
    await settled();
    expect(words).toEqual(['keyless gone', 'none gone']);
    want('m', 'another');
    await settled();
    desk.watch('off', () => null);
    want('m', 'off');
    await settled();
    expect(words.slice(2)).toEqual(['m offline']);
    stop();
    want('m');
    await settled();
    expect([words.length, asked]).toEqual([3, []]);
  });
});
