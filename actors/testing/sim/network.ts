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

export function createNetwork(scheduler: Scheduler, dice: Dice): Network {
  const links = new Map<string, Link>();
  const between = (from: number, to: number): number => from + dice.next() * (to - from);
  const chance = (share: number): boolean => share > 0 && dice.next() < share;
  const oneWay = ({ link, latency }: Channel): number =>
    between(latency[0], latency[1]) + (link.delayMs > 0 ? between(0, link.delayMs) : 0);
  const fresh = (): Link => ({ mode: 'ok', until: 0, loss: 0, ghosts: 0, delayMs: 0, reorder: false });

  const request = <T>(channel: Channel, what: string, execute: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const { party, link, timeoutMs } = channel;
      const sent = scheduler.now();
      const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : sent + timeoutMs;
      let ended = false;
      const end = (at: number, settle: () => void): void => {
        if (ended) return;
        ended = true;
        const late = at > deadline;
        scheduler.at(late ? deadline : at, party, 'reply', what, () => {
          // a process that stood still sees its time-out before what came in
          if (late || scheduler.now() > deadline) reject(channel.timedOut());
          else settle();
        });
      };
      const reply = (settle: () => void): void => {
        if (link.mode === 'reset') {
          end(scheduler.now() + REFUSED_MS, () => reject(channel.closed()));
          return;
        }
        let at = (link.mode === 'stall' ? link.until : scheduler.now()) + oneWay(channel);
        if (channel.ordered && !link.reorder) at = Math.max(at, channel.answered);
        channel.answered = Math.max(at, channel.answered);
        end(at, settle);
      };
      const arrive = (at: number, answering: boolean): void => {
        let when = at;
        if (channel.ordered && !link.reorder) when = Math.max(when, channel.arrived);
        channel.arrived = Math.max(when, channel.arrived);
        if (answering && when > deadline) end(when, () => {});
        scheduler.at(when, scheduler.world, 'request', what, () => {
          let settle: () => void;
          try {
            const value = execute();
            settle = () => resolve(value);
          } catch (error) {
            settle = () => reject(error as Error);
          }
          if (answering) reply(settle);
        });
      };
      const broken = (): void => end(sent + between(REFUSED_MS, 60), () => reject(channel.closed()));

      if (link.mode === 'reset') return end(sent + REFUSED_MS, () => reject(channel.closed()));
      const from = link.mode === 'stall' ? link.until : sent;
      if (link.mode === 'stall' && chance(0.3)) return end(link.until, () => reject(channel.closed()));
      if (chance(link.ghosts)) {
        broken();
        return arrive(sent + between(0, GHOST_MS), false);
      }
      if (chance(link.loss)) {
        if (chance(0.5)) arrive(from + oneWay(channel), false);
        return timeoutMs !== undefined && chance(0.5) ? end(deadline + 1, () => {}) : broken();
      }
      arrive(from + oneWay(channel), true);
    });

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
