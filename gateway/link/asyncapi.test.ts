import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LINK_ACK_STATUSES, LINK_CLOSE, LINK_FINAL_CODES, type LinkToDevice } from '../../schema/link/index.ts';
import { description, undescribed } from './described.testing.ts';
import { readFrame } from './frames.ts';

const ID = '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf';
const read = (frame: unknown): unknown => readFrame(Buffer.from(JSON.stringify(frame)));

/** Values that are right, nearly right or wrong, for any field. */
const value = fc.oneof(
  fc.constantFrom(ID, ID.toUpperCase(), `${ID} `, '', 'a\u0000b', 'x'.repeat(128), 'x'.repeat(129), 'y'.repeat(500), 'y'.repeat(501)),
  fc.constantFrom('t'.repeat(512), 't'.repeat(513), ...LINK_ACK_STATUSES, 'SENT', 'flt_x', null, true, [], {}),
  fc.constantFrom(0, -1, 1, 1.5, 2 ** 53 - 1, 2 ** 53, -0, 1e300),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.integer(),
);
const good: Record<string, unknown>[] = [
  { type: 'hello', token: 'flt_x' },
  { type: 'hello', token: 'flt_x', deviceId: ID },
  { type: 'ack', id: ID, epoch: 3, status: 'sent' },
  { type: 'ack', id: ID, epoch: 3, status: 'failed', error: 'no' },
  { type: 'inbound', id: 'in', from: '+1', body: '' },
  { type: 'pong' },
];
/** A good frame with some fields replaced, taken away or added. */
const frame = fc
  .tuple(
    fc.constantFrom(...good),
    fc.dictionary(fc.constantFrom('type', 'token', 'deviceId', 'id', 'epoch', 'status', 'error', 'from', 'body', 'extra'), value, {
      maxKeys: 3,
    }),
    fc.array(fc.constantFrom('type', 'token', 'id', 'epoch', 'status', 'from', 'body'), { maxLength: 1 }),
  )
  .map(([base, changes, without]) => {
    const changed: Record<string, unknown> = { ...base, ...changes };
    for (const name of without) delete changed[name];
    return changed;
  });

describe('asyncapi.json', () => {
  it('takes exactly the frames of a device that the gateway takes', () => {
    const verdicts = { taken: 0, refused: 0 };
    fc.assert(
      fc.property(frame, (one) => {
        const problem = undescribed('fromDevice', one);
        const answer = read(one);
        expect([typeof answer === 'string', one]).toEqual([problem !== undefined, one]);
        if (problem === undefined) verdicts.taken += 1;
        else verdicts.refused += 1;
      }),
      { numRuns: 3000 },
    );
    // else the test would compare nothing
    expect(verdicts.taken).toBeGreaterThan(100);
    expect(verdicts.refused).toBeGreaterThan(100);
  });

  it('has every frame of the server', () => {
    const frames: LinkToDevice[] = [
      { type: 'welcome', deviceId: ID, epoch: 0, heartbeatMs: 10_000 },
      { type: 'send', id: ID, epoch: 1, to: '+491701234567', body: 'hi' },
      { type: 'ok', id: 'in' },
      ...LINK_ACK_STATUSES.map((status): LinkToDevice => ({ type: 'ok', id: ID, status })),
      { type: 'ping' },
      { type: 'bye', reason: 'BUSY', retryAfterMs: 5 },
    ];
    for (const one of frames) expect([undescribed('toDevice', one), one]).toEqual([undefined, one]);
    const names = Object.keys(description().channels.link.messages);
    expect(names.sort()).toEqual([...new Set(frames.map((one) => one.type)), 'ack', 'hello', 'inbound', 'pong'].sort());
  });

  it('finds a frame that it does not describe', () => {
    expect(undescribed('toDevice', { type: 'send', id: ID, epoch: 1, to: '+49' })).toMatch(/body is missing/);
    expect(undescribed('toDevice', { type: 'hello', token: 'x' })).toBeDefined();
    expect(undescribed('toDevice', { type: 'bye', reason: 'WHIM' })).toBeDefined();
  });

  it('lists every close code, and whether a device may come back', () => {
    const listed = description().channels.link['x-close-codes'];
    expect(Object.fromEntries(listed.map(({ name, code }) => [name, code]))).toEqual(LINK_CLOSE);
    expect(listed.filter(({ retry }) => !retry).map(({ code }) => code)).toEqual([...LINK_FINAL_CODES]);
  });
});
