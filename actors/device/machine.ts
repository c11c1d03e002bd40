import { type DeviceState, unreachable } from '../../schema/domain/index.ts';
import type { LinkState } from '../transports/port.ts';

/**
 * What is known about one device, and what it is called. Pure and total: every event is answered in every state.
 * Times are monotonic ms of the node.
 */
export interface DeviceFacts {
  readonly owner: 'held' | 'moving' | 'lost';
  readonly ownerReason: string | null;
  /** a store that does not answer, or null: LEDGER_DOWN, MAILBOX_DOWN, MAILBOX_LOST */
  readonly trouble: Trouble | null;
  readonly paired: boolean;
  readonly paused: boolean;
  readonly pauseReason: string | null;
  readonly quarantined: boolean;
  readonly quarantineReason: string | null;
  readonly link: LinkState;
  readonly linkReason: string | null;
  readonly breaker: 'closed' | 'open' | 'fleet';
  readonly turn: Turn;
}
export type Trouble = 'LEDGER_DOWN' | 'MAILBOX_DOWN' | 'MAILBOX_LOST';
/** waits that the device is told to keep, by its owner's settings or by its provider */
const THROTTLES: ReadonlySet<WaitCode> = new Set(['PACE', 'DAILY_CAP', 'RATE_LIMITED', 'QUIET_HOURS', 'PROBATION']);
export type WaitCode = 'PACE' | 'DAILY_CAP' | 'RATE_LIMITED' | 'QUIET_HOURS' | 'PROBATION' | 'RETRY_WAIT' | 'OUTCOME_UNKNOWN';
export type Turn = { readonly kind: 'idle' } | { readonly kind: 'working' } | { readonly kind: 'waiting'; readonly code: WaitCode };
export interface RowFacts {
  readonly paired: boolean;
  readonly paused: boolean;
  readonly pauseReason: string | null;
  readonly quarantined: boolean;
  readonly quarantineReason: string | null;
}

export type DeviceEvent =
  | { readonly type: 'row'; readonly row: RowFacts }
  | { readonly type: 'link'; readonly state: LinkState; readonly reason: string | null }
  | { readonly type: 'moving'; readonly reason: string }
  | { readonly type: 'lost'; readonly reason: string }
  | { readonly type: 'trouble'; readonly trouble: Trouble | null }
  | { readonly type: 'breaker'; readonly breaker: 'closed' | 'open' | 'fleet' }
  | { readonly type: 'turn'; readonly turn: Turn };

/** publish: what it is called has changed. wake: it may send again. paired: the phone proved a pairing the ledger does not know. end: nothing more is done here. */
export type DeviceEffect = 'publish' | 'wake' | 'paired' | 'end';

export function initialFacts(row: RowFacts): DeviceFacts {
  return {
    owner: 'held',
    ownerReason: null,
    trouble: null,
    paired: row.paired,
    paused: row.paused,
    pauseReason: row.pauseReason,
    quarantined: row.quarantined,
    quarantineReason: row.quarantineReason,
    link: 'CONNECTING',
    linkReason: null,
    breaker: 'closed',
    turn: { kind: 'idle' },
  };
}

export function step(facts: DeviceFacts, event: DeviceEvent): { readonly facts: DeviceFacts; readonly effects: readonly DeviceEffect[] } {
  const next = apply(facts, event);
  if (next === facts) return { facts, effects: [] };
  const effects: DeviceEffect[] = [];
  const before = named(facts);
  const after = named(next);
  if (before.state !== after.state || before.reason !== after.reason) effects.push('publish');
  if (hindrance(facts) !== null && hindrance(next) === null) effects.push('wake');
  if (next.link === 'ONLINE' && facts.link !== 'ONLINE' && !next.paired) effects.push('paired');
  if (next.owner === 'lost' && facts.owner !== 'lost') effects.push('end');
  return { facts: next, effects };
}

function apply(facts: DeviceFacts, event: DeviceEvent): DeviceFacts {
  // an ended ownership hears nothing more: its successor speaks for the device
  if (facts.owner === 'lost') return facts;
  switch (event.type) {
    case 'row': {
      const { paired, paused, pauseReason, quarantined, quarantineReason } = event.row;
      return { ...facts, paired, paused, pauseReason, quarantined, quarantineReason };
    }
    case 'link':
      return { ...facts, link: event.state, linkReason: event.reason };
    case 'moving':
      return { ...facts, owner: 'moving', ownerReason: event.reason };
    case 'lost':
      return { ...facts, owner: 'lost', ownerReason: event.reason };
    case 'trouble':
      return facts.trouble === event.trouble ? facts : { ...facts, trouble: event.trouble };
    case 'breaker':
      return facts.breaker === event.breaker ? facts : { ...facts, breaker: event.breaker };
    case 'turn':
      return facts.turn === event.turn ? facts : { ...facts, turn: event.turn };
    default:
      return unreachable(event, 'device event');
  }
}

/** Why the device does not send, or null: then only its queue and its waits decide. Codes of `Device.sendability`. */
export type Hindrance =
  | 'NO_OWNER'
  | 'MOVING'
  | 'QUARANTINED'
  | 'PAUSED'
  | Trouble
  | 'UNPAIRED'
  | 'PAIRING'
  | 'CONNECTING'
  | 'OFFLINE'
  | 'LOGGED_OUT'
  | 'BREAKER_OPEN'
  | 'FLEET_BREAKER_OPEN';

/** The first thing in the way, breakers left out: those let a probe through. */
export function hindrance(facts: DeviceFacts): Hindrance | null {
  if (facts.owner === 'lost') return 'NO_OWNER';
  if (facts.owner === 'moving') return 'MOVING';
  if (facts.quarantined) return 'QUARANTINED';
  if (facts.paused) return 'PAUSED';
  if (facts.trouble !== null) return facts.trouble;
  return facts.link === 'ONLINE' ? null : facts.link;
}

export interface Sendability {
  /** true: the next message in the queue goes as soon as it comes */
  readonly sendable: boolean;
  /** everything in the way, weightiest first; EMPTY_QUEUE stands alone when nothing else is */
  readonly blockers: readonly (Hindrance | WaitCode | 'EMPTY_QUEUE')[];
}

/** Answers "why is it not sending?" */
export function explain(facts: DeviceFacts): Sendability {
  const blockers: (Hindrance | WaitCode | 'EMPTY_QUEUE')[] = [];
  if (facts.owner === 'lost') blockers.push('NO_OWNER');
  if (facts.owner === 'moving') blockers.push('MOVING');
  if (facts.quarantined) blockers.push('QUARANTINED');
  if (facts.paused) blockers.push('PAUSED');
  if (facts.trouble !== null) blockers.push(facts.trouble);
  if (facts.link !== 'ONLINE') blockers.push(facts.link);
  if (facts.breaker === 'open') blockers.push('BREAKER_OPEN');
  if (facts.breaker === 'fleet') blockers.push('FLEET_BREAKER_OPEN');
  if (facts.turn.kind === 'waiting') blockers.push(facts.turn.code);
  if (blockers.length > 0) return { sendable: false, blockers };
  return facts.turn.kind === 'idle' ? { sendable: true, blockers: ['EMPTY_QUEUE'] } : { sendable: true, blockers: [] };
}

/** What the device is called on the wall, weightiest first. */
export function named(facts: DeviceFacts): { readonly state: DeviceState; readonly reason: string | null } {
  if (facts.owner === 'lost') return { state: 'UNKNOWN', reason: facts.ownerReason };
  if (facts.quarantined) return { state: 'QUARANTINED', reason: facts.quarantineReason };
  if (facts.paused) return { state: 'PAUSED', reason: facts.pauseReason };
  if (facts.owner === 'moving') return { state: 'MOVING', reason: facts.ownerReason };
  if (facts.trouble !== null) return { state: 'UNKNOWN', reason: facts.trouble };
  if (facts.link !== 'ONLINE') return { state: facts.link, reason: facts.linkReason };
  if (facts.breaker !== 'closed') return { state: 'CIRCUIT_OPEN', reason: facts.breaker === 'fleet' ? 'FLEET' : 'FAILURE_RATE' };
  const { turn } = facts;
  switch (turn.kind) {
    case 'idle':
      // connected, and yet something to know: REACHOUT_LOCKED
      return { state: 'ONLINE', reason: facts.linkReason };
    case 'working':
      return { state: 'SENDING', reason: null };
    case 'waiting':
      return THROTTLES.has(turn.code) ? { state: 'THROTTLED', reason: turn.code } : { state: 'ONLINE', reason: turn.code };
    default:
      return unreachable(turn, 'turn');
  }
}
