import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEVICE_STATES, type DeviceState } from '../../schema/domain/index.ts';
import { type DeviceEvent, type DeviceFacts, explain, hindrance, initialFacts, named, step } from './machine.ts';

const ROW = { paired: true, paused: false, pauseReason: null, quarantined: false, quarantineReason: null };
const online: DeviceEvent = { type: 'link', state: 'ONLINE', reason: null };
const factsAfter = (...events: DeviceEvent[]): DeviceFacts => events.reduce((facts, event) => step(facts, event).facts, initialFacts(ROW));

const links = ['UNPAIRED', 'PAIRING', 'CONNECTING', 'ONLINE', 'OFFLINE', 'LOGGED_OUT'] as const;
const anyEvent: fc.Arbitrary<DeviceEvent> = fc.oneof(
  fc.record({
    type: fc.constant('row' as const),
    row: fc.record({
      paired: fc.boolean(),
      paused: fc.boolean(),
      pauseReason: fc.constantFrom(null, 'OPERATOR'),
      quarantined: fc.boolean(),
      quarantineReason: fc.constantFrom(null, 'CRASHES'),
    }),
  }),
  fc.record({ type: fc.constant('link' as const), state: fc.constantFrom(...links), reason: fc.constantFrom(null, 'PAIRING_EXPIRED') }),
  fc.constant({ type: 'moving' as const, reason: 'DRAINING' }),
  fc.constant({ type: 'lost' as const, reason: 'EXPIRED' }),
  fc.record({ type: fc.constant('trouble' as const), trouble: fc.constantFrom(null, 'LEDGER_DOWN' as const, 'MAILBOX_LOST' as const) }),
  fc.record({ type: fc.constant('breaker' as const), breaker: fc.constantFrom('closed' as const, 'open' as const, 'fleet' as const) }),
  fc.record({
    type: fc.constant('turn' as const),
    turn: fc.constantFrom(
      { kind: 'idle' as const },
      { kind: 'working' as const },
      { kind: 'waiting' as const, code: 'PACE' as const },
      { kind: 'waiting' as const, code: 'RETRY_WAIT' as const },
    ),
  }),
);

describe('the device machine', () => {
  it('has a name for every state there is', () => {
    const working: DeviceEvent = { type: 'turn', turn: { kind: 'working' } };
    const seen: Partial<Record<DeviceState, DeviceFacts>> = {
      UNPAIRED: factsAfter({ type: 'link', state: 'UNPAIRED', reason: 'PAIRING_EXPIRED' }),
      PAIRING: factsAfter({ type: 'link', state: 'PAIRING', reason: null }),
      CONNECTING: factsAfter(),
      ONLINE: factsAfter(online),
      SENDING: factsAfter(online, working),
      THROTTLED: factsAfter(online, { type: 'turn', turn: { kind: 'waiting', code: 'DAILY_CAP' } }),
      CIRCUIT_OPEN: factsAfter(online, { type: 'breaker', breaker: 'open' }),
      PAUSED: factsAfter(online, { type: 'row', row: { ...ROW, paused: true, pauseReason: 'OPERATOR' } }),
      OFFLINE: factsAfter({ type: 'link', state: 'OFFLINE', reason: 'TIMEOUT' }),
      LOGGED_OUT: factsAfter({ type: 'link', state: 'LOGGED_OUT', reason: null }),
      MOVING: factsAfter(online, { type: 'moving', reason: 'DRAINING' }),
      UNKNOWN: factsAfter(online, { type: 'lost', reason: 'EXPIRED' }),
      QUARANTINED: factsAfter(online, { type: 'row', row: { ...ROW, quarantined: true, quarantineReason: 'CRASHES' } }),
    };
    for (const state of DEVICE_STATES) expect(named(seen[state] ?? factsAfter()).state).toBe(state);
    expect(named(seen.UNPAIRED ?? factsAfter()).reason).toBe('PAIRING_EXPIRED');
    expect(named(seen.PAUSED ?? factsAfter()).reason).toBe('OPERATOR');
  });
  it('wakes exactly when the last hindrance goes', () => {
    const paused = factsAfter(online, { type: 'row', row: { ...ROW, paused: true } });
    expect(step(paused, { type: 'row', row: ROW }).effects).toContain('wake');
    expect(step(factsAfter(), online).effects).toContain('wake');
    expect(step(factsAfter(online), { type: 'row', row: { ...ROW } }).effects).not.toContain('wake');
  });
  it('says when a phone proved a pairing that the ledger does not know', () => {
    expect(step(initialFacts({ ...ROW, paired: false }), online).effects).toContain('paired');
    expect(step(factsAfter(), online).effects).not.toContain('paired');
  });
  it('hears nothing after its end', () => {
    const ended = factsAfter(online, { type: 'lost', reason: 'FENCED' });
    expect(step(ended, online)).toEqual({ facts: ended, effects: [] });
  });
  it('explains everything in the way', () => {
    const facts = factsAfter(
      { type: 'link', state: 'OFFLINE', reason: null },
      { type: 'row', row: { ...ROW, paused: true } },
      { type: 'breaker', breaker: 'open' },
      { type: 'turn', turn: { kind: 'waiting', code: 'PACE' } },
    );
    expect(explain(facts)).toEqual({ sendable: false, blockers: ['PAUSED', 'OFFLINE', 'BREAKER_OPEN', 'PACE'] });
    expect(explain(factsAfter(online))).toEqual({ sendable: true, blockers: ['EMPTY_QUEUE'] });
  });
  it('is total: any events in any order give a named state, publish on change only, and wake only into freedom', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
        let facts = initialFacts(ROW);
        for (const event of events) {
          const { facts: next, effects } = step(facts, event);
          const changed = named(facts).state !== named(next).state || named(facts).reason !== named(next).reason;
          expect(effects.includes('publish')).toBe(changed);
          if (effects.includes('wake')) expect([hindrance(facts) !== null, hindrance(next)]).toEqual([true, null]);
          expect(DEVICE_STATES).toContain(named(next).state);
          expect(explain(next).sendable).toBe(explain(next).blockers.every((blocker) => blocker === 'EMPTY_QUEUE'));
          facts = next;
        }
      }),
    );
  });
});
