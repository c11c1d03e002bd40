import { PARTITIONS } from '../../schema/domain/index.ts';
import { createDirectory } from '../placement/index.ts';
import { createBalance } from './balance.ts';
import { createClaims } from './claim.ts';
import type { Core } from './core.ts';
import { createGenerations } from './generations.ts';
import { createHandover, targetsWithout } from './handover.ts';
import { createHoldings } from './holdings.ts';
import { impatient } from './ledger.ts';
import { createLetGo } from './let-go.ts';
import { type Loop, startLoop } from './loop.ts';
import { createLostPartitions } from './lost.ts';
import { createMasters } from './masters.ts';
import { createMembership } from './membership.ts';
import { atMost } from './pool.ts';
import type { LossCause, Ownership } from './port.ts';
import { createLocks } from './redlock.ts';
import { createRenewalWheel } from './renewal.ts';
import { createScan } from './scan.ts';
import type { OwnershipDeps, OwnershipOptions, Tuning } from './types.ts';

/**
 * Guesses; `dwellMs` and `pauseMs` keep a flapping node from making healthy devices hop. Taking 100 devices takes some 50 ms, and a second is all
 * that an ending node has (`npm run bench -- ownership handover`).
 */
const TUNING: Tuning = { dwellMs: 10_000, pauseMs: 3000, settleMs: 5000, confirmMs: 120, movesPerSecond: 100 };
const DIRECTORY_POLL_MS = 1000;
const DIRECTORY_RELOAD_MS = 60_000;
/** Ticks per renewal interval: how finely renewals are spread, and how late after its deadline a device may be aborted. */
const TICKS = 20;
/** What a drain keeps back of its deadline for the handover of those that did not settle. */
const DRAIN_RESERVE_MS = 300;
/** Longest wait for a loop or a statement under way when the node ends. */
const QUIET_MS = 500;
/** Longest handover that an operator asked for: nothing waits for the process to end. */
const EMPTY_MS = 15_000;

/**
 * Makes the ownership of one node: leases, epochs, fences, generations, placement. Nothing runs before `start`.
 *
 * Owns: the loops (tick, scan, heartbeat, device list) and the phase new -> running -> draining -> stopped. The parts hold the rest:
 * holdings (what is owned), generations (beliefs), lost (rebuilds), scan (plan and budget), membership (this node's entry).
 * Called by the host of the actors (actors/node). The connections belong to whoever made them.
 *
 * I1 One loop of each kind per node; no timer per device.
 * I2 In phase draining nothing new is claimed or adopted; in phase stopped nothing is owned. A node that was told to drain stays there,
 *    empty and alive, until the wish is taken back or its process ends.
 */
export function createOwnership(deps: OwnershipDeps, options: OwnershipOptions): Ownership {
  const { clock, telemetry, ledger } = deps;
  const { log } = telemetry;
  const tuning: Tuning = { ...TUNING, ...options.tuning };
  const beatMs = Math.min(1000, options.renewMs);
  const { ttlMs, marginMs } = options;
  const timeoutMs = Math.min(1000, Math.floor(ttlMs / 4));
  const locks = createLocks(deps.lockMasters, { ttlMs, marginMs, timeoutMs }, clock);
  const directory = createDirectory(ledger, clock);
  const lost = createLostPartitions();
  const core: Core = {
    deps: { ...deps, ledger: impatient(ledger, clock, options.ttlMs) },
    options,
    tuning,
    locks,
    masters: createMasters(deps.lockMasters, { ttlMs, timeoutMs }, clock),
    holdings: createHoldings({ clock, telemetry, marginMs: options.marginMs }),
    generations: createGenerations(deps.redis, options.ttlMs),
    busy: new Set(),
    phase: 'new',
    members: [],
    partitionLost: (partition, cause, believed) => lost.found(core, claims, partition, cause, believed),
    letGo: createLetGo(deps.redis, locks),
    renewalsLate: () => wheel.lateMs() / options.renewMs,
    renewSoon: (partition) => wheel.soon(partition),
  };
  const { holdings, generations } = core;
  const claims = createClaims(core);
  const wheel = createRenewalWheel(core);
  const handover = createHandover(core);
  const membership = createMembership(core);
  const scan = createScan(core, directory, claims, () => membership.look());
  const balance = createBalance({
    core,
    directory,
    handover,
    targets: scan.targets,
    membersChangedAt: membership.changedAt,
    rebuilding: lost.rebuilding,
  });
  const loops: Record<'tick' | 'scan' | 'beat' | 'list', Loop | undefined> = {
    tick: undefined,
    scan: undefined,
    beat: undefined,
    list: undefined,
  };
  const removers: (() => void)[] = [];
  let loadedAt = 0;
  let hurry = false;
  /** a device is wanted elsewhere: not left to the next step of the balance */
  let hasty = false;
  let ending: Promise<void> | undefined;
  /** the handover that an operator wanted; the process lives on without devices */
  let emptying: Promise<void> | undefined;
  let emptied = false;
  /** the process ends: nothing brings it back */
  let leaving = false;

  const beat = async (): Promise<void> => {
    const state = core.phase === 'draining' ? 'DRAINING' : 'ACTIVE';
    try {
      await membership.beat(state);
      if (membership.drainWanted) empty();
      else if (emptied) resume();
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'NodeIdTakenError') throw error;
      abandon('SHUTDOWN');
      deps.fatal(error);
    }
  };

  /** an operator wants this node empty (drainNode). The last node that takes devices keeps them, and does as told once there is another. */
  const empty = (): void => {
    const others = core.members.some((node) => node.id !== options.nodeId && node.state === 'ACTIVE');
    if (core.phase !== 'running' || !others) return;
    log.info('node.draining', { devices: holdings.owned.size });
    emptying = handAllOver(EMPTY_MS)
      .catch((error: unknown) => log.warn('node.drain.failed', {}, error))
      .then(() => {
        emptied = true;
      });
  };

  /** the operator took it back: devices are taken again. A node that ends does not come this way. */
  const resume = (): void => {
    if (core.phase !== 'draining' || leaving) return;
    log.info('node.undrained');
    emptied = false;
    emptying = undefined;
    core.phase = 'running';
    startClaiming();
    loops.scan?.kick();
    loops.list?.kick();
    // the others plan with this node again from the next heartbeat on
    loops.beat?.kick();
  };

  /** phase draining: nothing is claimed any more, and what is owned goes to the others */
  const handAllOver = async (deadlineMs: number): Promise<void> => {
    const end = clock.monotonic() + deadlineMs;
    core.phase = 'draining';
    void membership.save('DRAINING');
    // a server that hangs must not use up the deadline: nothing is granted in this phase, whatever is still under way
    const quiet = Promise.all([beat().catch((error: unknown) => log.warn('ownership.drain.beat', {}, error)), stopLoops(['scan', 'list'])]);
    await atMost(clock, quiet, Math.min(QUIET_MS, deadlineMs / 4));
    const targetOf = targetsWithout(core, directory);
    const settleMs = Math.max(0, end - clock.monotonic() - DRAIN_RESERVE_MS);
    await handover.handOver([...holdings.owned.keys()], targetOf, { settleMs, confirmMs: tuning.confirmMs });
  };

  const list = async (): Promise<void> => {
    // taken before the ledger is asked: what is rung for later needs a reading of its own
    const asked = hasty;
    hasty = false;
    if (clock.monotonic() - loadedAt >= DIRECTORY_RELOAD_MS) {
      await directory.load();
      loadedAt = clock.monotonic();
    } else await directory.refresh();
    if (asked && core.phase === 'running') await balance.follow();
  };

  /** ends everything at once without a word to the servers */
  const abandon = (cause: LossCause): void => {
    core.phase = 'stopped';
    for (const deviceId of [...holdings.owned.keys()]) holdings.lose(deviceId, cause);
  };

  const stopLoops = async (names: readonly (keyof typeof loops)[]): Promise<void> => {
    await Promise.all(names.map((name) => loops[name]?.stop()));
  };

  const report = (name: string) => (error: unknown) => log.warn('ownership.loop', { loop: name }, error);
  const about = (ms: number): number => ms * (0.9 + 0.2 * deps.dice.next());
  const startLoops = (): void => {
    loops.tick = startLoop(
      clock,
      () => options.renewMs / TICKS,
      async () => wheel.tick(),
      report('tick'),
    );
    loops.beat = startLoop(clock, () => beatMs, beat, report('beat'));
    startClaiming();
  };
  const startClaiming = (): void => {
    loops.list = startLoop(clock, () => about(DIRECTORY_POLL_MS), list, report('list'));
    loops.scan = startLoop(
      clock,
      () => about(hurry ? options.scanMs / 5 : options.scanMs),
      async () => {
        hurry = await scan.run();
        // not waited for: devices may take seconds to settle
        if (core.phase === 'running') balance.step().catch(report('balance'));
      },
      report('scan'),
    );
  };

  const finish = async (): Promise<void> => {
    if (core.phase === 'new') return;
    const left = [...holdings.all()];
    abandon('SHUTDOWN');
    for (const remove of removers.splice(0)) remove();
    await atMost(clock, stopLoops(['tick', 'scan', 'beat', 'list']), QUIET_MS);
    await core.letGo(left, true);
    await membership.leave().catch(() => undefined);
    await atMost(clock, membership.save('GONE'), QUIET_MS);
  };

  const stop = (): Promise<void> => {
    ending ??= finish();
    return ending;
  };

  return {
    owned: holdings.owned,
    generation: (partition) => (partition >= 0 && partition < PARTITIONS ? generations.get(partition) : undefined),
    async start() {
      await membership.join();
      await directory.load();
      loadedAt = clock.monotonic();
      removers.push(telemetry.gauge('devices.owned', () => holdings.owned.size));
      removers.push(
        deps.bus.on('lease.transfer', (message) => {
          claims.adopt(message).catch((error: unknown) => log.warn('lease.adopt.failed', { from: message.from }, error));
        }),
      );
      removers.push(
        deps.bus.on('node.drain', () => {
          membership.save(core.phase === 'draining' ? 'DRAINING' : 'ACTIVE').then(() => loops.beat?.kick());
        }),
        deps.bus.on('device.move', () => {
          hasty = true;
          loops.list?.kick();
        }),
      );
      core.phase = 'running';
      await beat();
      startLoops();
      loops.scan?.kick();
    },
    reportLost(partition, cause) {
      log.warn('partition.reported', { partition, cause });
      // the report may be about a generation that has already been replaced: the renewal asks Redis itself
      wheel.soon(partition);
      loops.tick?.kick();
    },
    reportFenced(deviceId, epoch, where) {
      const held = holdings.get(deviceId);
      if (held === undefined || held.device.epoch !== epoch) return;
      telemetry.count('fenced', 1, { where });
      const lost = holdings.lose(deviceId, 'FENCED');
      if (lost !== undefined) void core.letGo([lost], false);
    },
    async release(deviceIds, cause) {
      scan.rest(deviceIds);
      await core.letGo(
        deviceIds.flatMap((deviceId) => holdings.lose(deviceId, cause) ?? []),
        cause !== 'STUCK',
      );
    },
    refresh: () => loops.list?.kick(),
    async drain(deadlineMs) {
      leaving = true;
      if (core.phase === 'stopped') await stop();
      if (emptying !== undefined) {
        await atMost(clock, emptying, deadlineMs);
        await stop();
      }
      if (core.phase !== 'running') return;
      await handAllOver(deadlineMs);
      await stop();
    },
    stop,
  };
}
