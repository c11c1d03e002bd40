import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { DeviceRecord, MessageState } from '../../schema/domain/index.ts';
import type { DeviceRow, IntentItem, IntentVerdict, ResultItem, ResultOutcome } from '../../schema/sql/index.ts';
import type { FleetBreaker } from '../breaker/index.ts';
import type { MailboxPlace, PeekAnswer } from '../mailbox/index.ts';
import type { RetryOptions } from '../retry/index.ts';
import type { LinkState, OutboundMessage, SendOutcome } from '../transports/port.ts';
import type { DeviceEvent, DeviceFacts, Sendability } from './machine.ts';

/** What the actor is told by and asks of the outside; one object for all actors of a node, wired in actors/node. */
export interface ActorPorts {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Pick<Telemetry, 'count' | 'record' | 'span' | 'log'>;
  readonly mailbox: ActorMailbox;
  readonly ledger: ActorLedger;
  readonly host: ActorHost;
}

export interface ActorMailbox {
  /** takes acks away and shows the heads; rejects when Redis does not answer, a repeat is harmless */
  peek(device: OwnerRef, acks: readonly MailboxPlace[]): Promise<PeekAnswer>;
  ack(device: OwnerRef, acks: readonly MailboxPlace[]): Promise<unknown>;
  /** resolves when Redis answers again */
  up(): Promise<void>;
}
export interface OwnerRef {
  readonly deviceId: string;
  readonly partition: number;
  readonly epoch: number;
}

/** The ledger's verdict; PROBATION: suspected of ending nodes, it has to wait for its turn (the ledger was not asked). `until - now` ms to wait. */
export type Leave = IntentVerdict | { readonly verdict: 'PROBATION'; readonly until: number; readonly now: number };

/**
 * Whom others let go first. `urgent`: the device has sent nothing under this owner yet, and asked a few times only. `late`: it was taken over a moment ago, and this is of what waited
 * meanwhile: thousands of devices may come together, and neither the first message of the last one nor those of devices that had no such trouble are to wait for it.
 */
export type Urgency = 'urgent' | 'usual' | 'late';

export interface ActorLedger {
  /**
   * Rejects when the outcome is not known or nothing was done; never repeated by itself.
   */
  intent(item: IntentItem, urgency: Urgency): Promise<Leave>;
  /** repeated until the ledger answers; rejects only when the process ends */
  result(item: ResultItem): Promise<ResultOutcome>;
  /** is the store known to be down; false = it answers */
  readonly open: boolean;
  /** resolves when Postgres answers again */
  up(): Promise<void>;
}

export interface MessageNews {
  readonly messageId: string;
  readonly state: MessageState;
  readonly cause: string | null;
  readonly attempts: number;
  /** ms from the intent to the recorded outcome, of an attempt that this actor made */
  readonly tookMs?: number;
}
export interface ActorHost {
  /** what the device is called has changed: publish its record soon */
  changed(deviceId: string): void;
  /** a script answered LOST (Redis) */
  lost(device: OwnerRef): void;
  /** a newer owner exists */
  fenced(device: OwnerRef, where: string): void;
  /** these lanes have room and the ledger holds more; `undefined`: the mailbox was never started */
  refill(device: OwnerRef, lanes: readonly number[] | undefined): void;
  /** the device's row is not what the actor believed */
  stale(deviceId: string): void;
  /** the phone proved a pairing that the ledger does not know */
  paired(deviceId: string): void;
  /** its breaker opened again and again with no good answer between: a person has to look at it */
  failing(deviceId: string): void;
  /** committed news of a message */
  news(deviceId: string, tenantId: string, news: MessageNews): void;
}

/** The way out of one device, as its transport gives it. */
export interface Line {
  readonly kind: string;
  readonly resendsUnknown: boolean;
  send(message: OutboundMessage, timeoutMs: number): Promise<SendOutcome>;
}

export interface ActorOptions {
  readonly node: string;
  readonly retry: RetryOptions;
  readonly pacing: 'on' | 'off';
  readonly sendTimeoutMs: number;
  /** how long an outcome may stay unknown where it cannot be repeated */
  readonly unknownWaitMs: number;
  readonly fleet: FleetBreaker;
}

/** What actors/node may do with an actor (actor.ts). */
export interface Actor {
  readonly deviceId: string;
  readonly facts: DeviceFacts;
  /** a doorbell or a refill: look at the mailbox again. `sweep`: only if it thinks that nothing is there */
  wake(why: 'work' | 'sweep'): void;
  tell(event: DeviceEvent): void;
  update(row: DeviceRow): void;
  attach(line: Line): void;
  link(state: LinkState, reason: string | null): void;
  /** proof about a message was committed: its lane need not wait any longer */
  proven(messageId: string): void;
  /** no new turn; resolves once the running one has settled and its acks are gone */
  settle(): Promise<void>;
  /** the ownership is over */
  end(reason: string): void;
  record(): DeviceRecord;
  sendability(): Sendability;
  /** monotonic ms at which the running turn began; undefined = no turn is running */
  turnSince(): number | undefined;
  /** attempt of the message that is being sent, if it is this one */
  attemptOf(messageId: string): number | undefined;
}
