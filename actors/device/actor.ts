import type { Span } from '../../ops/telemetry/index.ts';
import { ENDED_STATES } from '../../schema/domain/index.ts';
import type { DeviceRow, IntentMessage, IntentVerdict, ResultItem } from '../../schema/sql/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import type { MailboxHead } from '../mailbox/index.ts';
import { drawPaceMs } from '../pacing/index.ts';
import { backoffMs, decide } from '../retry/index.ts';
import type { SendOutcome } from '../transports/port.ts';
import { createBreakers } from './breakers.ts';
import { createLanes } from './lanes.ts';
import { type DeviceEvent, type DeviceFacts, explain, hindrance, initialFacts, step, type Trouble, type WaitCode } from './machine.ts';
import type { Actor, ActorOptions, ActorPorts, Leave, Line } from './ports.ts';
import { recordOf } from './record.ts';
import { aboutAttempt, HOLDS, intentOf, outboundOf, resultOf, SET_BY_PEOPLE, TAKEN_OUT } from './results.ts';

/** An intent that the ledger refuses for good is asked for again after this. */
const ASK_AGAIN_MS = 5000;
const DOUBT_MS = 500;
/** answered intents of a new owner that are urgent at most: the first may find what its predecessor had in flight, and thousands may find what is to be taken out */
const URGENT = 3;
/** so long after a takeover a device's messages are those that waited for it; about what a node needs for thousands of devices. Guess. */
const LATE_MS = 2000;
/** the ledger says "not yet" by its clock, which may be behind ours: never asked again sooner */
const LEAST_WAIT_MS = 100;

/**
 * The one running copy of a device's logic: takes the heads of its lanes, asks the ledger for leave, sends, records what came of it.
 *
 * Owns: the machine's facts, the heads last seen, places to ack, waits. Does not own: lease, connection, mailbox, ledger. Called by actors/node only.
 * I1 At most one message of the device is between intent and result.
 * I2 A message is sent only after its intent committed as PASS and `canAct` was true in the same tick as the send.
 * I3 A head that waits blocks its own lane only; the first lane (control, high, normal) whose head may go is served.
 * I4 After the ownership has ended there is no intent and no send; the result of a send already made still goes out.
 * I5 An intent without an answer is never followed by a send: what the ledger says of the message next decides. I6 With nothing to do the actor holds
 * no timer and no promise.
 */
export function createActor(owned: OwnedDevice, firstRow: DeviceRow, ports: ActorPorts, options: ActorOptions): Actor {
  const { clock, dice, telemetry, mailbox, ledger, host } = ports;
  const self = { deviceId: owned.deviceId, partition: owned.partition, epoch: owned.epoch };
  let row = firstRow;
  let facts = initialFacts(firstRow);
  let line: Line | undefined;
  const breakers = createBreakers(owned.deviceId, options.fleet, dice, (why) => {
    if (why === 'sustained') host.failing(self.deviceId);
    else telemetry.count('breaker.opened', 1, { scope: 'device' });
  });
  const lanes = createLanes();
  let holdUntil = 0;
  let holdCode: WaitCode = 'PACE';
  let stale = true;
  /** messages whose last intent got no answer: at most the heads of the three lanes; none until there is one */
  let unsent: Set<string> | undefined;
  /** monotonic ms at which the running turn began */
  let turnSince: number | undefined;
  /** something happened since the last turn began: one more is due before the loop may rest */
  let again = false;
  let cancelTimer: (() => void) | undefined;
  let inFlight: { readonly id: string; readonly attempt: number; readonly began: number } | undefined;
  let settled: (() => void)[] = [];
  let version = 0;
  /** intents that others let go first, until one has leave; then until when the device's messages are those of a backlog (monotonic ms) */
  let urgentLeft = URGENT;
  let lateUntil = 0;

  const tell = (event: DeviceEvent): void => {
    const { facts: next, effects } = step(facts, event);
    facts = actor.facts = next;
    for (const effect of effects) {
      if (effect === 'publish') {
        version += 1;
        host.changed(self.deviceId);
      } else if (effect === 'wake') start();
      else if (effect === 'paired') host.paired(self.deviceId);
    }
  };
  const alive = (): boolean => facts.owner === 'held' && !owned.signal.aborted;

  const start = (): void => {
    again = true;
    if (turnSince !== undefined || !alive() || line === undefined) return;
    cancelTimer?.();
    cancelTimer = undefined;
    turnSince = clock.monotonic();
    void run();
  };

  const run = async (): Promise<void> => {
    try {
      while (again) {
        again = false;
        turnSince = clock.monotonic();
        if (await turn()) again = true;
      }
    } catch (error) {
      telemetry.log.error('actor.turn', { deviceId: self.deviceId, epoch: self.epoch }, error);
      stale = true;
      inFlight = undefined;
      later(DOUBT_MS + backoffMs(4, { baseMs: 1000, capMs: 10_000 }, dice));
    }
    turnSince = undefined;
    const waiting = settled;
    settled = [];
    for (const done of waiting) done();
  };

  const later = (ms: number): void => {
    cancelTimer?.();
    cancelTimer = alive()
      ? clock.after(Math.max(1, Math.ceil(ms)), () => {
          cancelTimer = undefined;
          stale = true;
          start();
        })
      : undefined;
  };
  const wait = (until: number, code: WaitCode): false => {
    tell({ type: 'turn', turn: { kind: 'waiting', code } });
    later(until - clock.monotonic());
    return false;
  };

  /** One turn: true = take the next at once. */
  const turn = async (): Promise<boolean> => {
    if (!alive() || hindrance(facts) !== null) return false;
    if (stale || lanes.unseen()) return look();
    const now = clock.monotonic();
    if (now < holdUntil) return wait(holdUntil, holdCode);
    const head = lanes.pick(now);
    if (head === undefined) {
      const { until, code } = lanes.nearest();
      return wait(until, code);
    }
    if (!owned.canAct()) {
      // the lease is late: either it is renewed in a moment or the ownership ends
      later(DOUBT_MS / 5);
      return false;
    }
    const { waitMs, breaker } = breakers.ask(now);
    tell({ type: 'breaker', breaker });
    if (waitMs === 0) return deliver(head);
    later(waitMs);
    return false;
  };

  const look = async (): Promise<boolean> => {
    const taken = lanes.takeAcks();
    stale = false;
    let answer: Awaited<ReturnType<typeof mailbox.peek>>;
    try {
      answer = await mailbox.peek(self, taken);
    } catch {
      lanes.returnAcks(taken);
      return recover('MAILBOX_DOWN', mailbox);
    }
    switch (answer.kind) {
      case 'OK':
        break;
      case 'BARE':
        host.refill(self, undefined);
        return idle();
      case 'LOST':
        tell({ type: 'trouble', trouble: 'MAILBOX_LOST' });
        host.lost(self);
        return false;
      case 'FENCED':
        host.fenced(self, 'mailbox');
        return false;
    }
    if (answer.behind.length > 0) host.refill(self, answer.behind);
    lanes.show(answer.lanes);
    return lanes.unseen() ? idle() : true;
  };
  const idle = (): boolean => {
    lanes.forget();
    if (stale) return true;
    tell({ type: 'turn', turn: { kind: 'idle' } });
    return false;
  };

  const block = (lane: number, ms: number, code: WaitCode): true => {
    lanes.block(lane, clock.monotonic() + ms, code);
    return true;
  };
  const drop = (head: MailboxHead): true => {
    // the next of this lane is not known: look again (the acks go with it)
    if (lanes.drop(head)) stale = true;
    return true;
  };

  const traced = (head: MailboxHead, name: string): Span | undefined =>
    head.traceparent === '' ? undefined : telemetry.span(name, { parent: head.traceparent });
  const deliver = async (head: MailboxHead): Promise<boolean> => {
    const kind = line;
    if (kind === undefined) return false;
    tell({ type: 'turn', turn: { kind: 'working' } });
    const paceMs = drawPaceMs({ minMs: row.paceMinMs, maxMs: row.paceMaxMs }, options.pacing, dice);
    const span = traced(head, 'intent');
    let verdict: Leave;
    try {
      const item = intentOf(self, head, options.node, paceMs, kind.resendsUnknown, options.retry.budget);
      verdict = await ledger.intent(item, urgentLeft > 0 ? 'urgent' : lateUntil > clock.monotonic() ? 'late' : 'usual');
      if (urgentLeft > 0) urgentLeft -= 1;
    } catch (error) {
      span?.fail(error);
      span?.end();
      unsent = (unsent ?? new Set()).add(head.messageId);
      // the store answers, but refuses this very intent: a pause, or this loop never rests
      if (ledger.open) lanes.block(head.lane, clock.monotonic() + ASK_AGAIN_MS, 'RETRY_WAIT');
      return recover('LEDGER_DOWN', ledger);
    }
    // I2: from here to kind.send nothing may be awaited
    if (verdict.verdict !== 'PASS') {
      span?.set('verdict', verdict.verdict);
      span?.end();
      return refused(head, verdict);
    }
    const { message } = verdict;
    unsent?.delete(message.id);
    const began = clock.monotonic();
    if (lateUntil === 0) [urgentLeft, lateUntil] = [0, owned.reason === 'crash' ? began + LATE_MS : began];
    inFlight = { id: message.id, attempt: message.attempt, began };
    if (paceMs > 0) hold(began + paceMs, 'PACE');
    const sending: Promise<SendOutcome> | undefined =
      owned.canAct() && !owned.signal.aborted ? kind.send(outboundOf(message), options.sendTimeoutMs) : undefined;
    span?.end();
    const sendSpan = traced(head, 'send');
    host.news(self.deviceId, message.tenantId, { messageId: message.id, state: 'SENDING', cause: null, attempts: message.attempt });
    const outcome: SendOutcome = sending === undefined ? { kind: 'not-sent', code: 'FENCED' } : await sending;
    sendSpan?.set('outcome', outcome.kind);
    sendSpan?.end();
    telemetry.count('sends', 1, { transport: kind.kind, outcome: outcome.kind });
    telemetry.record('send.duration', (clock.monotonic() - began) / 1000, { transport: kind.kind });
    return conclude(head, message, outcome);
  };

  const hold = (until: number, code: WaitCode): void => {
    if (until >= holdUntil) [holdUntil, holdCode] = [until, code];
  };

  /** Records what came of a send and says when the lane goes on. */
  const conclude = async (head: MailboxHead, message: IntentMessage, outcome: SendOutcome): Promise<boolean> => {
    const now = clock.monotonic();
    const decision = decide(outcome, message.attempt, options.retry, dice);
    if (decision.healthy !== undefined) breakers.learn(decision.healthy, now);
    if (decision.holdMs > 0) hold(now + decision.holdMs, 'RATE_LIMITED');
    const span = traced(head, 'result');
    const about = aboutAttempt(self, message.id, message.attempt, clock.wall());
    const counted = await settleMessage(head, resultOf(about, outcome, decision));
    if (outcome.kind === 'sent' || outcome.kind === 'rejected') outcome.settled?.();
    span?.set('state', decision.state);
    span?.end();
    inFlight = undefined;
    if (!counted) return true;
    if (decision.state === 'QUEUED') return block(head.lane, decision.afterMs, 'RETRY_WAIT');
    if (decision.state === 'UNKNOWN') {
      const resend = line?.resendsUnknown === true;
      return block(head.lane, resend ? decision.afterMs : options.unknownWaitMs, 'OUTCOME_UNKNOWN');
    }
    return drop(head);
  };

  /** Sends a result and its news; false = it did not count, and the lane has been put right already. */
  const settleMessage = async (head: MailboxHead, item: ResultItem): Promise<boolean> => {
    const answer = await ledger.result(item);
    telemetry.count('results', 1, { state: item.state, counted: String(answer.counted) });
    if (answer.counted) {
      if (item.state === 'DEAD') telemetry.count('dead_letters', 1, { cause: item.cause ?? 'NONE' });
      host.news(self.deviceId, answer.tenantId ?? row.tenantId, {
        messageId: item.messageId,
        state: item.state,
        cause: item.cause,
        attempts: item.attempt,
        ...(inFlight?.id === item.messageId ? { tookMs: clock.monotonic() - inFlight.began } : {}),
      });
      return true;
    }
    if (answer.state === null || ENDED_STATES.has(answer.state)) drop(head);
    else {
      stale = true;
      block(head.lane, DOUBT_MS, 'RETRY_WAIT');
    }
    return false;
  };

  /** The ledger gave no leave. */
  const refused = async (head: MailboxHead, verdict: Exclude<Leave, { verdict: 'PASS' }>): Promise<boolean> => {
    // by the ledger's clock alone: this node's wall clock may be an hour off
    const waitMs = ({ until, now }: { readonly until: number; readonly now: number }): number => Math.max(LEAST_WAIT_MS, until - now);
    switch (verdict.verdict) {
      case 'FENCED':
        host.fenced(self, 'intent');
        return false;
      case 'PACED':
      case 'CAPPED':
      case 'HELD':
      case 'QUIET':
      case 'PROBATION':
        hold(clock.monotonic() + waitMs(verdict), HOLDS[verdict.verdict]);
        return true;
      case 'NOT_DUE':
        return block(head.lane, waitMs(verdict), 'RETRY_WAIT');
      case 'PAUSED':
      case 'QUARANTINED':
      case 'DELETED':
        tell({ type: 'row', row: { ...row, paused: verdict.verdict !== 'QUARANTINED', quarantined: verdict.verdict === 'QUARANTINED' } });
        host.stale(self.deviceId);
        return false;
      case 'UNKNOWN_OUTCOME':
        return unknown(head, verdict);
      case 'ENDED':
        unsent?.delete(head.messageId);
        return drop(head);
      case 'COLD':
      case 'UNPLANNED':
      case 'SUPPRESSED':
      case 'DEAD': {
        const { tenantId, cause, attempt: attempts } = verdict;
        const state = TAKEN_OUT[verdict.verdict];
        if (state === 'DEAD') telemetry.count('dead_letters', 1, { cause });
        host.news(self.deviceId, tenantId, { messageId: head.messageId, state, cause, attempts });
        return drop(head);
      }
    }
  };

  /** Another attempt's outcome is open, so this message got no leave. */
  const unknown = async (head: MailboxHead, verdict: Extract<IntentVerdict, { verdict: 'UNKNOWN_OUTCOME' }>): Promise<boolean> => {
    const item = aboutAttempt(self, head.messageId, verdict.attempt, clock.wall());
    if (verdict.state === 'SENDING' && unsent?.delete(head.messageId) === true) {
      // I5: that was our own intent without an answer; no send was made for it
      await settleMessage(head, { ...item, state: 'QUEUED', cause: 'NOT_SENT', dueAt: item.at });
    } else if (verdict.state !== 'UNKNOWN' && line?.resendsUnknown === true) {
      await settleMessage(head, { ...item, state: 'UNKNOWN', cause: 'NO_ANSWER' });
    } else {
      // waits for proof; after that it is for a person to decide
      const leftMs = verdict.since + options.unknownWaitMs - verdict.now;
      if (leftMs > 0) return block(head.lane, leftMs, 'OUTCOME_UNKNOWN');
      if (await settleMessage(head, { ...item, state: 'DEAD', cause: 'OUTCOME_UNKNOWN' })) drop(head);
    }
    return true;
  };

  /** A store does not answer: all actors wait for one probe of it. After an intent without an answer the next one's verdict tells (I5). */
  const recover = async (trouble: Trouble, store: { up(): Promise<void> }): Promise<boolean> => {
    stale = true;
    tell({ type: 'trouble', trouble });
    await store.up();
    tell({ type: 'trouble', trouble: null });
    return true;
  };

  // a plain property: an accessor in a literal costs each actor a hidden class and a dictionary of its own (some 700 bytes)
  const actor: Actor & { facts: DeviceFacts } = {
    deviceId: self.deviceId,
    facts,
    wake(why) {
      if (why === 'sweep' && (facts.turn.kind !== 'idle' || turnSince !== undefined)) {
        if (facts.trouble !== 'MAILBOX_LOST') return;
      }
      stale = true;
      if (facts.trouble === 'MAILBOX_LOST') tell({ type: 'trouble', trouble: null });
      start();
    },
    tell,
    update(next) {
      if (row.paused && !next.paused) breakers.reset();
      if (SET_BY_PEOPLE.has(holdCode)) [holdUntil, holdCode, stale] = [0, 'PACE', true];
      row = next;
      tell({ type: 'row', row: next });
      if (stale) start();
    },
    attach(next) {
      line = next;
      start();
    },
    link: (state, reason) => tell({ type: 'link', state, reason }),
    proven(messageId) {
      if (inFlight?.id !== messageId && lanes.free(messageId)) start();
    },
    async settle() {
      tell({ type: 'moving', reason: 'DRAINING' });
      cancelTimer?.();
      cancelTimer = undefined;
      if (turnSince !== undefined) await new Promise<void>((resolve) => settled.push(resolve));
      const taken = lanes.takeAcks();
      if (taken.length > 0) await mailbox.ack(self, taken).catch(() => {});
    },
    end(reason) {
      tell({ type: 'lost', reason });
      cancelTimer?.();
      cancelTimer = undefined;
      lanes.forget();
    },
    record: () => recordOf(row, facts, { node: options.node, epoch: self.epoch, version, at: clock.wall() }),
    sendability: () => explain(facts),
    turnSince: () => turnSince,
    attemptOf: (messageId) => (inFlight?.id === messageId ? inFlight.attempt : undefined),
  };
  return actor;
}
