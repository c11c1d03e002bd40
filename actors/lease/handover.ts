import { randomBytes } from 'node:crypto';
import { nodeChannel } from '../../schema/domain/index.ts';
import { type Directory, plan } from '../placement/index.ts';
import type { Core } from './core.ts';
import type { Held } from './holdings.ts';
import { atMost, chunks, eachLimited } from './pool.ts';

/**
 * Hands devices over directed: settle, abort, change the lease's token to one made for the target, tell the target. What cannot be
 * placed is released. Holds no state. Called by drain and by the moves for balance.
 *
 * I1 A device is aborted before its token changes: there is no moment at which two nodes may act.
 * I2 Whatever was settled is given up, whether or not a target takes it.
 * I3 An ownership that began after the settling is not touched: nobody settled it, and its lease has another token.
 */
export interface Handover {
  /** `settleMs`: longest wait for the devices to settle; those that have not are handed over last, as they are */
  handOver(deviceIds: readonly string[], targetOf: (deviceId: string) => string | undefined, settleMs: number): Promise<void>;
}

/** Leases in one transfer message. */
const BATCH = 100;
/** Those that settle within this go first, in their batch. */
const PROMPT_MS = 400;

export function createHandover(core: Core): Handover {
  const { deps, locks } = core;

  const give = async (held: readonly Held[], targetOf: (deviceId: string) => string | undefined): Promise<void> => {
    const homeless: Held[] = [];
    const byTarget = new Map<string, { readonly held: Held; readonly token: string }[]>();
    for (const one of held) {
      // ended, or ended and granted anew, while it settled (I3)
      if (core.holdings.get(one.device.deviceId) !== one) continue;
      const target = targetOf(one.device.deviceId);
      const lost = core.holdings.lose(one.device.deviceId, target === undefined ? 'RELEASED' : 'TRANSFERRED');
      if (lost === undefined) continue;
      if (target === undefined) homeless.push(one);
      else {
        const item = { held: one, token: randomBytes(16).toString('hex') };
        const group = byTarget.get(target);
        if (group === undefined) byTarget.set(target, [item]);
        else group.push(item);
      }
    }
    for (const [target, items] of byTarget) {
      const moved = await locks.transfer(
        items.map((item) => ({ deviceId: item.held.device.deviceId, token: item.held.token, target: item.token })),
      );
      const sent = items.filter((item) => moved.has(item.held.device.deviceId));
      for (const item of items) {
        if (moved.has(item.held.device.deviceId)) continue;
        // a minority of masters may have taken the target's token
        homeless.push(item.held, { ...item.held, token: item.token });
      }
      if (sent.length === 0) continue;
      const leases = sent.map((item) => ({ deviceId: item.held.device.deviceId, token: item.token, epoch: item.held.device.epoch }));
      deps.bus.publish(nodeChannel(target), [{ kind: 'lease.transfer', from: core.options.nodeId, leases }]);
      await core.letGo(
        sent.map((item) => item.held),
        true,
      );
    }
    if (homeless.length > 0) await core.letGo(homeless, true);
  };

  return {
    async handOver(deviceIds, targetOf, settleMs) {
      const held = deviceIds.flatMap((id) => core.holdings.get(id) ?? []).filter((one) => !one.settling);
      for (const one of held) one.settling = true;
      const slow: Held[] = [];
      const settled = new Set<Held>();
      const settling = new Map(
        held.map((one) => [
          one,
          deps.listener
            .settle(one.device.deviceId)
            .catch((error: unknown) => deps.telemetry.log.warn('lease.settle.failed', {}, error))
            .then(() => void settled.add(one)),
        ]),
      );
      const end = deps.clock.monotonic() + settleMs;
      await eachLimited(chunks(held, BATCH), 4, async (batch) => {
        await atMost(deps.clock, Promise.all(batch.map((one) => settling.get(one))), Math.min(PROMPT_MS, settleMs));
        slow.push(...batch.filter((one) => !settled.has(one)));
        await give(
          batch.filter((one) => settled.has(one)),
          targetOf,
        );
      });
      if (slow.length === 0) return;
      await atMost(deps.clock, Promise.all(slow.map((one) => settling.get(one))), Math.max(0, end - deps.clock.monotonic()));
      await give(slow, targetOf);
    },
  };
}

/** Where a draining node's devices should go: the plan without it, over the living active nodes. */
export function targetsWithout(core: Core, directory: Pick<Directory, 'ids' | 'pins'>): (deviceId: string) => string | undefined {
  const others = core.members.filter((node) => node.id !== core.options.nodeId && node.state === 'ACTIVE');
  const targets = plan(directory.ids(), others, directory.pins);
  return (deviceId) => targets.get(deviceId);
}
