import { randomBytes } from 'node:crypto';
import { deviceKeys, nodeChannel } from '../../schema/domain/index.ts';
import { type Directory, plan } from '../placement/index.ts';
import type { Core } from './core.ts';
import type { Held } from './holdings.ts';
import { atMost, chunks } from './pool.ts';

/**
 * Hands devices over directed: settle, abort, change the lease's token to one made for the target, tell the target, see that it takes them. What
 * cannot be placed is released. Called by drain and by the moves for balance.
 * Owns: which targets were silent lately.
 *
 * I1 A device is aborted before its token changes: there is no moment at which two nodes may act.
 * I2 Whatever was settled is given up, whether or not a target takes it.
 * I3 An ownership that began after the settling is not touched: nobody settled it, and its lease has another token.
 * I4 A device goes on working here until its turn to go has come: idle ones first, those that send next, those that pair last.
 * I5 A target takes a lease by changing the offered token to one of its own: what was offered and is taken cannot be taken back, what is taken
 *    back cannot be taken. What a target does not take goes to the next one, and then is free for everybody's scan; one that has taken it and
 *    is slow to raise the fence is waited for. While targets are silent or slow no more devices are given up than are taken.
 */
export interface Handover {
  handOver(deviceIds: readonly string[], targetOf: TargetOf, patience: Patience): Promise<void>;
}
export interface Patience {
  /** longest wait for the devices to settle, and for pairings to end; those that have not are handed over last, as they are */
  readonly settleMs: number;
  /** how long a target may take to raise the fences before it is told again; after the second time it is passed over */
  readonly confirmMs: number;
}
/** `confirmMs` of a node that goes on; one that ends has less time (ownership.ts). */
export const MOVING_CONFIRM_MS = 1000;
/** Where a device should go; undefined: let go of it. `silent`: these nodes took nothing lately. */
export type TargetOf = (deviceId: string, silent: ReadonlySet<string>) => string | undefined;

interface Given {
  readonly held: Held;
  readonly target: string;
  readonly token: string;
}

/** Leases in one transfer message; such messages in one wave. */
const BATCH = 100;
const WAVE = 4 * BATCH;
/** The first wave finds out whether the targets listen. */
const PROBE = 10;
/** A wave while a target is silent: what a scan's smallest budget claims at once (placement/ramp.ts). */
const CAREFUL = 200;
/** Those that settle within this go first, in their batch. */
const PROMPT_MS = 100;
const POLL_MS = 20;
/** Longest wait for devices that were let go to be found by a scan, or for a target that has taken them, before more are given up. */
const FOUND_MS = 1000;
/** A silent target is not asked again for this long. */
const SILENT_MS = 5000;

export function createHandover(core: Core): Handover {
  const { deps, locks } = core;
  const { clock } = deps;
  const silentUntil = new Map<string, number>();
  const silent = (): ReadonlySet<string> => {
    const now = clock.monotonic();
    return new Set([...silentUntil].filter(([, until]) => until > now).map(([target]) => target));
  };

  /** changes tokens; what was not the caller's any more is released under both. Resolves with what a target may take now. */
  const transfer = async (items: readonly (Given & { readonly from: string })[]): Promise<Given[]> => {
    const moved = await locks.transfer(
      items.map((item) => ({ deviceId: item.held.device.deviceId, token: item.from, target: item.token })),
    );
    // a minority of masters may have taken the target's token
    const failed = items.filter((item) => !moved.has(item.held.device.deviceId));
    await core.letGo(
      failed.flatMap(({ held, from, token }) => [
        { ...held, token: from },
        { ...held, token },
      ]),
      true,
    );
    return items.filter((item) => moved.has(item.held.device.deviceId));
  };

  const tell = (given: readonly Given[]): void => {
    for (const target of new Set(given.map((item) => item.target))) {
      const leases = given
        .filter((item) => item.target === target)
        .map(({ held, token }) => ({ deviceId: held.device.deviceId, token, epoch: held.device.epoch }));
      for (const part of chunks(leases, BATCH))
        deps.bus.publish(nodeChannel(target), [{ kind: 'lease.transfer', from: core.options.nodeId, leases: part }]);
    }
  };

  /** those whose fence has not risen above the given ownership's; none when the server does not say */
  const waiting = async <T extends { readonly held: Held }>(items: readonly T[]): Promise<T[]> => {
    const read = deps.redis.pipeline();
    for (const { held } of items) read.get(deviceKeys(held.device.deviceId).fence);
    const replies = (await read.exec().catch(() => null)) ?? [];
    return items.filter(({ held }, i) => {
      const [error, fence] = replies[i] ?? [new Error('no answer'), null];
      return error === null && Number(fence ?? 0) <= held.device.epoch;
    });
  };
  const untaken = async <T extends { readonly held: Held }>(items: readonly T[], ms: number): Promise<T[]> => {
    const end = clock.monotonic() + ms;
    let left: T[] = [...items];
    while (left.length > 0) {
      left = await waiting(left);
      if (left.length === 0 || clock.monotonic() >= end) break;
      await clock.sleep(POLL_MS);
    }
    return left;
  };
  /** those whose offered token still stands on a quorum, so that nobody has taken them: it is asked for by writing it once more */
  const standing = async (items: readonly Given[]): Promise<Given[]> => {
    const still = await locks.transfer(items.map(({ held, token }) => ({ deviceId: held.device.deviceId, token, target: token })));
    return items.filter(({ held }) => still.has(held.device.deviceId));
  };
  /** Tells the targets, twice if need be, and remembers who did not listen. What was taken and not raised yet is nobody else's to have. */
  const offer = async (given: readonly Given[], confirmMs: number): Promise<{ readonly deaf: Given[]; readonly slow: Given[] }> => {
    tell(given);
    let left = await untaken(given, confirmMs);
    if (left.length === 0) return { deaf: [], slow: [] };
    tell(left);
    left = await untaken(left, confirmMs);
    const deaf = left.length === 0 ? [] : await standing(left);
    for (const { target } of deaf) silentUntil.set(target, clock.monotonic() + SILENT_MS);
    return { deaf, slow: left.filter((item) => !deaf.includes(item)) };
  };

  /** ends the ownerships here; the homeless are released, the rest is offered to targets until taken */
  const give = async (held: readonly Held[], targetOf: TargetOf, { confirmMs }: Patience): Promise<void> => {
    if (held.length === 0) return;
    const free: { readonly held: Held; readonly token: string }[] = [];
    const directed: (Given & { readonly from: string })[] = [];
    const passedOver = silent();
    for (const one of held) {
      // ended, or ended and granted anew, while it settled (I3)
      if (core.holdings.get(one.device.deviceId) !== one) continue;
      const target = targetOf(one.device.deviceId, passedOver);
      const lost = core.holdings.lose(one.device.deviceId, target === undefined ? 'RELEASED' : 'TRANSFERRED');
      if (lost === undefined) continue;
      if (target === undefined) free.push({ held: one, token: one.token });
      else directed.push({ held: one, target, from: one.token, token: newToken() });
    }
    try {
      await pass(directed, free, targetOf, confirmMs);
    } catch (error) {
      // they are given up already (I2): their leases end by themselves
      deps.telemetry.log.warn('lease.handover.failed', { devices: directed.length + free.length }, error);
    }
  };
  /** offers the directed ones until taken; those that nobody takes, and the free ones, are let go */
  const pass = async (
    directed: readonly (Given & { readonly from: string })[],
    free: { readonly held: Held; readonly token: string }[],
    targetOf: TargetOf,
    confirmMs: number,
  ): Promise<void> => {
    const given = await transfer(directed);
    // the note that it was let go of its own accord, whoever takes it
    await core.letGo(
      given.map((item) => item.held),
      true,
    );
    const first = await offer(given, confirmMs);
    const again = first.deaf.flatMap((item) => {
      const target = targetOf(item.held.device.deviceId, silent());
      if (target !== undefined && target !== item.target) return [{ held: item.held, target, from: item.token, token: newToken() }];
      free.push({ held: item.held, token: item.token });
      return [];
    });
    const second = await offer(await transfer(again), confirmMs);
    for (const item of second.deaf) free.push({ held: item.held, token: item.token });
    await core.letGo(
      free.map(({ held: one, token }) => ({ ...one, token })),
      true,
    );
    // somebody's scan finds what is free; without anybody there is nothing to wait for
    const others = core.members.some((node) => node.state === 'ACTIVE' && node.id !== core.options.nodeId);
    await untaken([...first.slow, ...second.slow, ...(others ? free : [])], FOUND_MS);
  };

  /** settles a wave and gives what has settled at once; resolves with the rest */
  const send = async (wave: readonly Held[], targetOf: TargetOf, patience: Patience): Promise<Settling[]> => {
    const parts = await Promise.all(
      // one that ended, and was granted anew, while it waited for its wave is another ownership: its actor goes on working (I3)
      chunks(
        wave.filter((one) => core.holdings.get(one.device.deviceId) === one),
        BATCH,
      ).map(async (batch) => {
        const settling = batch.map(settle);
        await atMost(clock, Promise.all(settling.map((one) => one.done)), Math.min(PROMPT_MS, patience.settleMs));
        const ready = settling.filter((one) => one.settled);
        // taken down before the giving, which takes its time: what settles meanwhile is still to be given (I2)
        const rest = settling.filter((one) => !one.settled);
        await give(
          ready.map((one) => one.held),
          targetOf,
          patience,
        );
        return rest;
      }),
    );
    return parts.flat();
  };
  interface Settling {
    readonly held: Held;
    settled: boolean;
    readonly done: Promise<void>;
  }
  const settle = (held: Held): Settling => {
    const one = {
      held,
      settled: false,
      done: deps.listener
        .settle(held.device.deviceId)
        .catch((error: unknown) => deps.telemetry.log.warn('lease.settle.failed', {}, error))
        .then(() => {
          one.settled = true;
        }),
    };
    return one;
  };

  return {
    async handOver(deviceIds, targetOf, patience) {
      const { settleMs } = patience;
      const end = clock.monotonic() + settleMs;
      const engaged = (one: Held): 'SENDING' | 'PAIRING' | null => deps.listener.engaged(one.device.deviceId);
      const all = deviceIds.flatMap((id) => core.holdings.get(id) ?? []).filter((one) => !one.settling);
      for (const one of all) one.settling = true;
      let pairing = all.filter((one) => engaged(one) === 'PAIRING');
      const queue = [...all.filter((one) => engaged(one) === null), ...all.filter((one) => engaged(one) === 'SENDING')];
      let slow: Settling[] = [];
      for (let size = PROBE; queue.length > 0; size = silent().size > 0 ? CAREFUL : WAVE) {
        // those of earlier waves send nothing since they were told to settle: they go as soon as they have, and count towards this wave
        const ready = slow.filter((one) => one.settled);
        slow = slow.filter((one) => !one.settled);
        const left = end - clock.monotonic();
        const wave = queue.splice(0, left > 0 ? Math.max(0, size - ready.length) : queue.length);
        const giving = give(
          ready.map((one) => one.held),
          targetOf,
          patience,
        );
        slow.push(...(await send(wave, targetOf, patience)));
        await giving;
      }
      while (slow.length + pairing.length > 0 && clock.monotonic() < end) {
        const pause = clock.sleep(POLL_MS);
        await (slow.length > 0 ? Promise.race([pause, ...slow.map((one) => one.done)]) : pause);
        const ready = slow.filter((one) => one.settled);
        slow = slow.filter((one) => !one.settled);
        const paired = pairing.filter((one) => engaged(one) !== 'PAIRING');
        if (paired.length > 0) pairing = pairing.filter((one) => !paired.includes(one));
        if (ready.length > 0) {
          await give(
            ready.map((one) => one.held),
            targetOf,
            patience,
          );
        }
        if (paired.length > 0) slow.push(...(await send(paired, targetOf, patience)));
      }
      slow.push(...(await send(pairing, targetOf, patience)));
      if (slow.length > 0) {
        await give(
          slow.map((one) => one.held),
          targetOf,
          patience,
        );
      }
    },
  };
}

function newToken(): string {
  return randomBytes(16).toString('hex');
}

/** Where a draining node's devices should go: the plan without it, over the living active nodes; past the silent ones if there are others. */
export function targetsWithout(core: Core, directory: Pick<Directory, 'ids' | 'pins'>): TargetOf {
  const others = core.members.filter((node) => node.id !== core.options.nodeId && node.state === 'ACTIVE');
  const plans = new Map<string, ReadonlyMap<string, string>>();
  return (deviceId, silent) => {
    const key = [...silent].sort().join(' ');
    let targets = plans.get(key);
    if (targets === undefined) {
      targets = plan(
        directory.ids(),
        others.filter((node) => !silent.has(node.id)),
        directory.pins,
      );
      plans.set(key, targets);
    }
    return targets.get(deviceId);
  };
}
