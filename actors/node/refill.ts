import type { Telemetry } from '../../ops/telemetry/index.ts';
import { LANES } from '../../schema/domain/index.ts';
import type { NextSeq, RefillAsk } from '../../schema/sql/index.ts';
import type { OwnerRef } from '../device/index.ts';
import type { LaneRefill, Look, Mailbox, RefillOrder, RefillRow } from '../mailbox/index.ts';
import type { WindowStatements } from './statements.ts';

/** devices of one round */
const ROUND = 500;

/** times that a device's round may fail in a row before it is left to the sweep */
const TRIES = 10;

const NONE: ReadonlySet<number> = new Set();

export type RefillCause = 'granted' | 'behind' | 'missed' | 'sweep' | 'astray';

/**
 * Keeps the mailboxes filled from the ledger.
 *
 * Owns: which devices are to be looked at next. Called by the host (grants, sweeps) and by actors (behind).
 * I1 One round is under way at a time; a device is in it once, however often it is asked for.
 * I2 Marks and last seqs are read before the ledger (look), and handed to the script after it: what came in between is not forgotten.
 * I3 A mailbox that was never started in this generation is cleared and started from the ledger.
 * I4 A round that fails is made again as soon as both stores answer; not for ever, a statement may be refused each time.
 * I5 A lane that is started anew is cleared and filled in one run of the script: what was put there since the ledger was read is refilled by the next
 *    look, because the last seq is that of the last row.
 */
export interface Refiller {
  /** lanes undefined = look at all of them */
  ask(device: OwnerRef, cause: RefillCause, lanes: readonly number[] | undefined): void;
  /** these lanes do not hold what they should: cleared and filled again from the ledger */
  restart(device: OwnerRef, lanes: readonly number[]): void;
}

export interface RefillerDeps {
  readonly mailbox: Pick<Mailbox, 'look' | 'refill'>;
  readonly statements: WindowStatements;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
  /** both stores answer */
  ready(): Promise<void>;
  /** `put`: how many entries the ledger had for it */
  outcome(device: OwnerRef, kind: 'OK' | 'LOST' | 'FENCED', put: number): void;
}

interface Asked {
  readonly device: OwnerRef;
  readonly cause: RefillCause;
  /** undefined: find out which lanes lack something */
  readonly lanes: ReadonlySet<number> | undefined;
  /** lanes to be started anew */
  readonly anew: ReadonlySet<number>;
  /** rounds of it that failed since it was asked for */
  readonly failed: number;
}
interface Plan {
  readonly asked: Asked;
  readonly look: Look;
  readonly lanes: { readonly lane: number; readonly start: number | undefined; readonly read: boolean }[];
}

export function createRefiller(deps: RefillerDeps, options: { readonly window: number }): Refiller {
  const { mailbox, statements, telemetry } = deps;
  const asked = new Map<string, Asked>();
  let running = false;

  const start = (): void => {
    if (running) return;
    running = true;
    setImmediate(() => {
      void rounds().finally(() => {
        running = false;
        if (asked.size > 0) start();
      });
    });
  };
  const rounds = async (): Promise<void> => {
    while (asked.size > 0) {
      const round: Asked[] = [];
      for (const [id, one] of asked) {
        if (round.length >= ROUND) break;
        round.push(one);
        asked.delete(id);
      }
      try {
        await deps.ready();
      } catch {
        // the node is going down
        return;
      }
      try {
        await fill(round);
      } catch (error) {
        telemetry.log.warn('refill.failed', { devices: round.length }, error);
        for (const one of round) if (one.failed + 1 < TRIES) put(one.device, one.cause, one.lanes, one.anew, one.failed + 1);
      }
    }
  };

  const fill = async (round: readonly Asked[]): Promise<void> => {
    const looks = await mailbox.look(round.map((one) => one.device));
    const seen = new Map<string, Look>();
    round.forEach((one, index) => {
      const look = looks[index];
      if (look === undefined || look === 'LOST') deps.outcome(one.device, 'LOST', 0);
      else seen.set(one.device.deviceId, look);
    });
    const blind = round.filter((one) => {
      const look = seen.get(one.device.deviceId);
      return look !== undefined && (one.lanes === undefined || !look.started);
    });
    const next = new Map<string, NextSeq[]>();
    if (blind.length > 0) {
      for (const row of await statements.nextSeqs(blind.map((one) => one.device.deviceId))) {
        const rows = next.get(row.deviceId);
        if (rows === undefined) next.set(row.deviceId, [row]);
        else rows.push(row);
      }
    }
    const plans = round.flatMap((one): Plan[] => {
      const look = seen.get(one.device.deviceId);
      if (look === undefined) return [];
      const lanes = planLanes(one, look, next.get(one.device.deviceId) ?? [], options.window >> 1);
      return lanes.length === 0 ? [] : [{ asked: one, look, lanes }];
    });
    if (plans.length > 0) await carryOut(plans);
  };

  const carryOut = async (plans: readonly Plan[]): Promise<void> => {
    const asks: RefillAsk[] = plans.flatMap((plan) =>
      plan.lanes
        .filter((lane) => lane.read)
        .map(({ lane, start: from }) => ({
          deviceId: plan.asked.device.deviceId,
          lane: LANES[lane] ?? 'normal',
          afterSeq: from ?? plan.look.lanes[lane]?.last ?? 0,
        })),
    );
    const rows = new Map<string, RefillRow[]>();
    for (const entry of asks.length === 0 ? [] : await statements.refill(asks, options.window)) {
      const key = `${entry.deviceId}${LANES.indexOf(entry.lane)}`;
      const list = rows.get(key);
      if (list === undefined) rows.set(key, [entry]);
      else list.push(entry);
    }
    const orders = plans.map(
      (plan): RefillOrder => ({
        ...plan.asked.device,
        lanes: plan.lanes.map(({ lane, start: from }): LaneRefill => {
          const found = rows.get(`${plan.asked.device.deviceId}${lane}`) ?? [];
          const { marks = 0, last: after = 0 } = plan.look.lanes[lane] ?? {};
          return { lane, marks, complete: found.length < options.window, start: from, after, rows: found };
        }),
      }),
    );
    const words = await mailbox.refill(orders);
    orders.forEach((order, index) => {
      const plan = plans[index];
      const word = words[index];
      if (plan === undefined || word === undefined) return;
      const put = order.lanes.reduce((sum, lane) => sum + lane.rows.length, 0);
      if (word === 'LOST' || word === 'FENCED') deps.outcome(plan.asked.device, word, 0);
      else {
        if (put > 0) telemetry.count('refills', put, { cause: plan.asked.cause });
        // started by nobody yet in this generation: the next round starts it
        if (word === 'BARE') ask(plan.asked.device, plan.asked.cause, undefined);
        else deps.outcome(plan.asked.device, 'OK', put);
      }
    });
  };

  const put = (device: OwnerRef, cause: RefillCause, lanes: Iterable<number> | undefined, anew: Iterable<number>, failed: number): void => {
    const known = asked.get(device.deviceId);
    const all = lanes === undefined || (known !== undefined && known.lanes === undefined);
    // a failed round comes back after a later grant may have asked: the newer ownership is the one that counts
    const newest = known !== undefined && known.device.epoch > device.epoch ? known.device : device;
    asked.set(device.deviceId, {
      device: newest,
      cause,
      lanes: all ? undefined : new Set([...(known?.lanes ?? []), ...(lanes ?? [])]),
      anew: known === undefined && anew === NONE ? NONE : new Set([...(known?.anew ?? []), ...anew]),
      failed,
    });
  };
  const ask: Refiller['ask'] = (device, cause, lanes) => {
    put(device, cause, lanes, NONE, 0);
    start();
  };
  return {
    ask,
    restart(device, lanes) {
      put(device, 'astray', undefined, lanes, 0);
      start();
    },
  };
}

/** Which lanes are to be filled, and where they start. `read` false: the ledger has nothing for it. */
function planLanes(asked: Asked, look: Look, next: readonly NextSeq[], room: number): Plan['lanes'] {
  const plan: Plan['lanes'] = [];
  for (let lane = 0; lane < LANES.length; lane++) {
    const has = next.find((row) => row.lane === LANES[lane]);
    const seen = look.lanes[lane];
    if (seen === undefined) continue;
    if (!look.started) {
      plan.push({ lane, start: has === undefined || has.hasOpen ? 0 : has.nextSeq - 1, read: has?.hasOpen ?? true });
    } else if (asked.anew.has(lane)) {
      plan.push({ lane, start: 0, read: true });
    } else if (asked.lanes !== undefined) {
      if (asked.lanes.has(lane)) plan.push({ lane, start: undefined, read: true });
    } else if (seen.marks > 0 ? seen.entries <= room : has?.hasOpen === true && has.nextSeq - 1 > seen.last) {
      plan.push({ lane, start: undefined, read: true });
    }
  }
  return plan;
}
