import fc from 'fast-check';
import { parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import type { LiveBatch, MessageEventRecord } from '../../schema/domain/index.ts';
import { createAhead } from './event-mirror.ts';
import { createFrame, headOf } from './frame.ts';
import { canonicalJson, groupKey } from './group-key.ts';
import type { PreparedOperation } from './port.ts';
import { createRing } from './ring.ts';
import { createSession, SESSION_LIMITS } from './session.ts';

describe('session', () => {
  it('never throws, closes once, and starts nothing before the ack or twice under one id', () => {
    const message = fc.oneof(
      fc.constantFrom('connection_init', 'ping', 'pong', 'nonsense').map((type) => JSON.stringify({ type })),
      fc
        .record({
          type: fc.constantFrom('subscribe', 'complete'),
          id: fc.constantFrom('a', 'b', '__proto__', ''),
          payload: fc.constantFrom({ query: '{a}' }, {}, null),
        })
        .map((value) => JSON.stringify(value)),
      fc.json(),
      fc.string(),
    );
    const step = fc.oneof({ weight: 8, arbitrary: message }, { weight: 2, arbitrary: fc.constantFrom('admit!', 'finish!', 'late!') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const session = createSession({ ...SESSION_LIMITS, operations: 3 });
        const running = new Map<string, number>();
        let acknowledged = false;
        let closes = 0;
        for (const text of steps) {
          const effects =
            text === 'admit!'
              ? session.admitted()
              : text === 'late!'
                ? session.initTimeout()
                : text === 'finish!'
                  ? []
                  : session.receive(text, 0);
          if (text === 'finish!') {
            for (const [id, serial] of running) session.finished(id, serial);
            running.clear();
          }
          for (const effect of effects) {
            expect(closes).toBe(0);
            if (effect.kind === 'close') closes += 1;
            if (effect.kind === 'send' && effect.text.includes('connection_ack')) acknowledged = true;
            if (effect.kind === 'start') {
              expect(acknowledged).toBe(true);
              expect(running.has(effect.id)).toBe(false);
              running.set(effect.id, effect.serial);
              expect(running.size).toBeLessThanOrEqual(3);
            }
            if (effect.kind === 'stop') running.delete(effect.id);
          }
        }
        expect(closes).toBeLessThanOrEqual(1);
      }),
      { numRuns: 500 },
    );
  });
});

describe('frame', () => {
  it('puts any id in front of the same payload', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, maxLength: 21 }), { minLength: 1 }), fc.jsonValue(), (ids, payload) => {
        const frame = createFrame(payload);
        for (const id of ids) {
          const text = Buffer.from(frame.bytesFor(headOf(id))).toString('utf8');
          expect(JSON.parse(text)).toEqual({ id, type: 'next', payload: JSON.parse(JSON.stringify(payload)) });
        }
      }),
    );
    const widest = '\u0001'.repeat(64);
    expect(JSON.parse(Buffer.from(createFrame(1).bytesFor(headOf(widest))).toString())).toMatchObject({ id: widest });
  });
});

describe('group key', () => {
  const operation = (query: string, variables: Record<string, unknown>): PreparedOperation => ({
    kind: 'subscription',
    document: parse(query),
    documentHash: query,
    operationName: null,
    variables,
  });
  const viewer = { tenantId: 't', keyId: 'k', keyName: 'k', scopes: new Set(['admin', 'screen'] as const), installation: false };
  it('ignores cursors, the order of fields and the key’s name; not tenant, scope or variables', () => {
    const query = 'subscription($since: LivePosition, $a: Filter) { fleet(since: $since, a: $a) { seq } }';
    const base = groupKey(operation(query, { since: { epoch: 'a', seq: 1 }, a: { x: 1, y: [2, { z: 3, w: 4 }] } }), viewer);
    const same = { ...viewer, keyId: 'other', scopes: new Set(['screen', 'admin'] as const) };
    expect(groupKey(operation(query, { a: { y: [2, { w: 4, z: 3 }], x: 1 }, since: null }), same)).toBe(base);
    expect(groupKey(operation(query, { a: { x: 2 } }), viewer)).not.toBe(base);
    const others = [{ tenantId: 'u' }, { scopes: new Set(['screen'] as const) }, { installation: true }];
    for (const other of others)
      expect(groupKey(operation(query, { a: { x: 1, y: [2, { z: 3, w: 4 }] } }), { ...viewer, ...other })).not.toBe(base);
    expect(canonicalJson({ b: undefined, a: null })).toBe('{"a":null}');
  });
});

describe('ring', () => {
  const batch = (seq: number): LiveBatch<number> => ({ epoch: 'e', from: seq - 1, seq, at: 0, records: [seq] });
  it('gives exactly what follows a position, or says that it cannot', () => {
    const ring = createRing<number>({ batches: 10, records: 1_000 });
    ring.reset({ epoch: 'e', seq: 4 }, [batch(3), batch(4)]);
    const following = (seq: number, epoch = 'e'): number[] | undefined => ring.after({ epoch, seq })?.map((entry) => entry.seq);
    expect([following(2), following(3), following(4), following(1), following(5), following(4, 'f')]).toEqual([
      [3, 4],
      [4],
      [],
      undefined,
      undefined,
      undefined,
    ]);
    for (let seq = 5; seq <= 40; seq++) ring.push(batch(seq));
    expect(following(38)).toEqual([39, 40]);
    expect(following(20)).toBeUndefined();
  });
});

describe('events of a message', () => {
  it('come once each and rising: repeats and late words are dropped, proof of an older attempt counts', () => {
    const { ahead } = createAhead();
    const event = (state: MessageEventRecord['state'], attempts: number): MessageEventRecord => ({
      messageId: 'm',
      deviceId: 'd',
      state,
      attempts,
      cause: null,
      at: 0,
    });
    const said: [MessageEventRecord['state'], number][] = [
      ['QUEUED', 0],
      ['SENDING', 1],
      ['SENDING', 1],
      ['QUEUED', 1],
      ['SENDING', 2],
      ['UNKNOWN', 1],
      ['SENT', 1],
      ['FAILED', 2],
      ['SENT', 2],
      ['READ', 2],
      ['DELIVERED', 2],
    ];
    expect(said.filter(([state, attempts]) => ahead(event(state, attempts)))).toEqual([
      ['QUEUED', 0],
      ['SENDING', 1],
      ['SENDING', 2],
      ['SENT', 1],
      ['READ', 2],
    ]);
  });
  it('forgets the oldest above its limit', () => {
    const { ahead } = createAhead(2);
    const event = (messageId: string): MessageEventRecord => ({ messageId, deviceId: 'd', state: 'SENT', attempts: 1, cause: null, at: 0 });
    for (const id of ['1', '2', '3']) ahead(event(id));
    expect([ahead(event('3')), ahead(event('1'))]).toEqual([false, true]);
  });
});
