import type { Dice } from '../../../ops/lifecycle/index.ts';
import type { Party, Scheduler } from './scheduler.ts';

/**
 * The network of the simulated world: requests and replies between processes and stores, late, lost, out of order or cut off.
 *
 * Owns: the state of every link. Does not own: what the stores do. Called by the clients of a party.
 * W1 Of one channel (a connection) requests arrive and replies come back in order, unless the link reorders.
 * W2 A request ends for its sender once: with the reply, with an error of the connection, or at its deadline; what it asked for may be done
 *    before, after or never.
 */
export interface Link {
  /** ok; reset: refused at once; stall: whatever is sent waits until the end of the fault (as TCP repeats it) or is lost */
  mode: 'ok' | 'reset' | 'stall';
  until: number;
  /** share of requests whose connection breaks: half of them were never done, half were */
  loss: number;
  /** share of requests that fail at once but are done up to GHOST_MS later */
  ghosts: number;
  /** most ms that anything is late by */
  delayMs: number;
  reorder: boolean;
}
export interface Channel {
  readonly party: Party;
  readonly link: Link;
  /** a pool of connections keeps no order */
  readonly ordered: boolean;
  readonly timeoutMs: number | undefined;
  /** least and most ms of one way */
  readonly latency: readonly [number, number];
  closed(): Error;
  timedOut(): Error;
  arrived: number;
  answered: number;
}

export interface Network {
  link(name: string): Link;
  readonly links: ReadonlyMap<string, Link>;
  request<T>(channel: Channel, what: string, execute: () => T): Promise<T>;
  /** evenly in [from, to) */
  between(from: number, to: number): number;
  chance(share: number): boolean;
  /** back to a network without faults */
  heal(link: Link): void;
}

const GHOST_MS = 3000;
const REFUSED_MS = 0.5;

/** What every request of one network is given. */
interface Way {
  readonly scheduler: Scheduler;
  between(from: number, to: number): number;
  chance(share: number): boolean;
  oneWay(channel: Channel): number;
}

/** One request on its way; a class and no closures, because worlds make thousands. */
class Exchange<T> {
  private readonly way: Way;
  private readonly channel: Channel;
  private readonly what: string;
  private readonly execute: () => T;
  private readonly resolve: (value: T) => void;
  private readonly reject: (error: Error) => void;
  private readonly sent: number;
  private readonly deadline: number;
  private ended: boolean;
  private value: T | undefined;
  private error: Error | undefined;

  constructor(way: Way, channel: Channel, what: string, execute: () => T, resolve: (value: T) => void, reject: (error: Error) => void) {
    this.way = way;
    this.channel = channel;
    this.what = what;
    this.execute = execute;
    this.resolve = resolve;
    this.reject = reject;
    this.sent = way.scheduler.now();
    this.ended = false;
    this.value = undefined;
    this.error = undefined;
    this.deadline = channel.timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.sent + channel.timeoutMs;
  }

  start(): void {
    const { channel, sent } = this;
    const { between, chance, oneWay } = this.way;
    const { link } = channel;
    const from = link.mode === 'stall' ? link.until : sent;
    if (link.mode === 'reset') this.fail(sent + REFUSED_MS);
    else if (link.mode === 'stall' && chance(0.3)) this.fail(link.until);
    else if (chance(link.ghosts)) {
      this.fail(sent + between(REFUSED_MS, 60));
      this.arrive(sent + between(0, GHOST_MS), false);
    } else if (chance(link.loss)) {
      if (chance(0.5)) this.arrive(from + oneWay(channel), false);
      if (channel.timeoutMs !== undefined && chance(0.5)) this.end(this.deadline + 1);
      else this.fail(sent + between(REFUSED_MS, 60));
    } else this.arrive(from + oneWay(channel), true);
  }

  private arrive(at: number, answering: boolean): void {
    const { channel } = this;
    const { scheduler } = this.way;
    let when = at;
    if (channel.ordered && !channel.link.reorder) when = Math.max(when, channel.arrived);
    channel.arrived = Math.max(when, channel.arrived);
    if (answering && when > this.deadline) this.end(when);
    scheduler.at(when, scheduler.world, 'request', this.what, () => this.carryOut(answering));
  }

  private carryOut(answering: boolean): void {
    let value: T | undefined;
    let error: Error | undefined;
    try {
      value = this.execute();
    } catch (thrown) {
      error = thrown as Error;
    }
    if (!answering) return;
    const { channel } = this;
    const { scheduler, oneWay } = this.way;
    const { link } = channel;
    if (link.mode === 'reset') {
      this.fail(scheduler.now() + REFUSED_MS);
      return;
    }
    let at = (link.mode === 'stall' ? link.until : scheduler.now()) + oneWay(channel);
    if (channel.ordered && !link.reorder) at = Math.max(at, channel.answered);
    channel.answered = Math.max(at, channel.answered);
    if (this.ended) return;
    this.value = value;
    this.error = error;
    this.end(at);
  }

  /** the connection breaks */
  private fail(at: number): void {
    if (!this.ended) this.error = this.channel.closed();
    this.end(at);
  }

  /** with what is known by now, or with a time-out */
  private end(at: number): void {
    if (this.ended) return;
    this.ended = true;
    const { channel, deadline } = this;
    const { scheduler } = this.way;
    const late = at > deadline;
    scheduler.at(late ? deadline : at, channel.party, 'reply', this.what, () => {
      // a process that stood still sees its time-out before what came in
      if (late || scheduler.now() > deadline) this.reject(channel.timedOut());
      else if (this.error !== undefined) this.reject(this.error);
      else this.resolve(this.value as T);
    });
  }
}
export function createNetwork(scheduler: Scheduler, dice: Dice): Network {
  const links = new Map<string, Link>();
  const between = (from: number, to: number): number => from + dice.next() * (to - from);
  const chance = (share: number): boolean => share > 0 && dice.next() < share;
  const oneWay = ({ link, latency }: Channel): number =>
    between(latency[0], latency[1]) + (link.delayMs > 0 ? between(0, link.delayMs) : 0);
  const way: Way = { scheduler, between, chance, oneWay };
  const fresh = (): Link => ({ mode: 'ok', until: 0, loss: 0, ghosts: 0, delayMs: 0, reorder: false });

  const request = <T>(channel: Channel, what: string, execute: () => T): Promise<T> =>
    new Promise((resolve, reject) => new Exchange(way, channel, what, execute, resolve, reject).start());

  return {
    links,
    link(name) {
      const known = links.get(name);
      if (known !== undefined) return known;
      const made = fresh();
      links.set(name, made);
      return made;
    },
    request,
    between,
    chance,
    heal: (link) => void Object.assign(link, fresh()),
  };
}
