import type { Swap } from '../plants.ts';
import type { FaultProxy } from '../proxy.ts';
import type { Scene } from '../scene.ts';

/**
 * A fault as data: the ground it is played on, how it strikes and heals, and what must hold beside the judge's own figures.
 */
export interface Fault {
  readonly name: string;
  /** its number in the failure matrix of docs/ownership.md, or where else it is from */
  readonly case: string;
  /** one line for the table's legend */
  readonly what: string;
  /** faults with the same ground (by reference) share a stack */
  readonly ground: Ground;
  /** strikes on one stack, each counted as a run; default 1 */
  readonly strikes?: number;
  /** strikes, however few runs are asked for: it has that many kinds; default 1 */
  readonly atLeast?: number;
  /** strikes, however many runs are asked for; default any */
  readonly atMost?: number;
  /** ms from the end of one strike's healing to the next; default 3,000 */
  readonly restMs?: number;
  readonly bounds: Bounds;
  /** strikes and heals; resolves when everything is as it was before */
  strike(stage: Stage): Promise<Strike>;
}

/** The stack a fault needs. */
export interface Ground {
  readonly name: string;
  /** default 3 */
  readonly nodes?: number;
  /** default 2 */
  readonly gateways?: number;
  /** default: the shipped lease */
  readonly ttlMs?: number;
  /** fsync and Redis' append-only file; default false */
  readonly durable?: boolean;
  /** what a proxy stands before; default none */
  readonly proxy?: 'redis' | 'postgres' | 'both';
  /** a test build with these changes; default: the product as it is */
  readonly swaps?: readonly Swap[];
  readonly env?: Readonly<Record<string, string>>;
  /** most devices and messages a second that this ground is meant for */
  readonly most?: { readonly devices: number; readonly perSecond: number };
  /** settings of one process by name, asked at each of its starts; for the process `redis` too */
  envOf?(
    name: string,
    folder: string,
    servers: { readonly redisUrl: string; readonly databaseUrl: string; readonly simulatorUrl: string },
  ): Readonly<Record<string, string | undefined>>;
  /** words before the command of a process */
  launcherOf?(name: string): readonly string[];
  /** why it cannot be laid on this machine; its faults then count as not run */
  missing?(): Promise<string | undefined>;
  /** before the stack starts; returns what undoes it */
  prepare?(folder: string): Promise<() => Promise<void>>;
}

/** Missing bounds are measured and not judged. */
export interface Bounds {
  /** SIGKILL to the first effect under a new owner: at most TTL plus this */
  readonly takeoverExtraMs?: number;
  /** healed to a second in which the phones get at least nine tenths of what is asked */
  readonly fullRateMs?: number;
  /** accepted to the first arrival, 99th percentile over the whole run */
  readonly latencyP99Ms?: number;
  /** the slowest answer of the API */
  readonly answerMs?: number;
  /** repeats are at most what was in flight at the strikes */
  readonly repeatsInFlight?: boolean;
  /** of all devices (or those handed over) with a message accepted during a strike, the 99th percentile of the longest it waited */
  readonly gapP99Ms?: number;
  /** how many stale arrivals may be seen that the phone drops as repeats; a stale arrival shown to a person is never allowed; default 0 */
  readonly staleRepeats?: number;
  /** bounds of the fault's own figures (the worst of the strikes) */
  readonly figures?: Readonly<Record<string, number>>;
}

export interface Strike {
  /** wall ms of the strike and of the end of its healing */
  readonly at: number;
  readonly healedAt: number;
  /** devices struck and their epochs, when a takeover is to be timed */
  readonly owned?: ReadonlyMap<string, number>;
  /** whose messages count for the gap, and until which wall ms accepted; default: all devices, until the end of the healing */
  readonly handed?: { readonly devices: ReadonlySet<string>; readonly until: number };
  /** messages whose outcome was open at the strike, when it can be counted exactly */
  readonly inFlight?: number;
  /** how many runs this strike counts for; default 1 */
  readonly counts?: number;
  readonly figures?: Readonly<Record<string, number>>;
  /** devices whose messages were meant to fail */
  readonly spared?: readonly string[];
}

export interface Proxies {
  readonly redis: FaultProxy | undefined;
  readonly postgres: FaultProxy | undefined;
}

/** A scene with what faults need beyond it. */
export interface Stage extends Scene {
  readonly ttlMs: number;
  /** number of this strike on this stack, from 0 */
  readonly turn: number;
  readonly perSecond: number;
  /** proxies by name of the process behind them */
  readonly proxies: ReadonlyMap<string, Proxies>;
}
