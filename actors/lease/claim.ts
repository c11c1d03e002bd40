import { randomBytes } from 'node:crypto';
import { partitionOf } from '../../schema/domain/index.ts';
import { type Claimed, mayClaim } from '../placement/index.ts';
import type { Core } from './core.ts';
import { withinDeadline } from './deadline.ts';
import { namedBy, readReleased } from './let-go.ts';
import { byPartition, chunks, eachLimited } from './pool.ts';
import type { GrantReason, OwnedDevice } from './port.ts';
import type { Lease, TakenLease } from './redlock.ts';
import { type RenewOrder, renew } from './renew.ts';
import { fenceScript, MOST_PER_CALL } from './scripts.ts';
import type { OwnerRow, Transfer } from './types.ts';

/**
 * The way from "nobody has it" (or "it was handed to me") to a granted device. Holds no state but the set of devices under way.
 * Called by the scan, the rebuild of a partition and the bus.
 *
 * I1 Order: read (id, epoch) -> lease -> compare-and-bump -> fence -> deadline again -> grant. Lease first, so a losing contender never
 *    raises an epoch; the pair is read before, so a claimant that slept in between cannot outrank its successor.
 * I2 Whatever does not get to the end gives its lease back; what the ledger has not answered when its leases end does not (ledger.ts, impatient).
 * I3 What Postgres still names another owner for is taken over only on the word of masters that cannot have forgotten that owner's lease
 *    (masters.ts). Asked between lease and bump: afterwards Postgres would name this node.
 */
export interface Claims {
  /** tries to own devices; `namedOnly` partitions: only where Postgres names this node. Stops when renewals are late: the scan tries the rest. */
  claim(deviceIds: readonly string[], namedOnly: (partition: number) => boolean): Promise<Claimed>;
  /** devices handed over by another node: the leases carry the tokens of the message until they are taken */
  adopt(message: Transfer): Promise<void>;
}

interface Candidate {
  readonly lease: Lease;
  readonly epoch: number;
  readonly reason: GrantReason;
}

/** Devices of one round: bounds the time between lease and grant to some 100 ms. */
const ROUND = 500;

export function createClaims(core: Core): Claims {
  const { deps, options, locks, generations } = core;
  const { log } = deps.telemetry;

  const reasonOf = (row: OwnerRow, released: number | undefined): GrantReason => {
    if (row.node === null) return row.epoch === 0 ? 'new' : 'graceful';
    if (released === row.epoch) return 'graceful';
    if (row.node === options.nodeId && core.holdings.heldBefore(row.deviceId, row.epoch)) return 'rebuild';
    return 'crash';
  };

  /** bump -> fence -> deadline -> grant, for leases already held; resolves with how many were granted */
  const finish = async (candidates: readonly Candidate[]): Promise<number> => {
    const open = new Map(candidates.map((candidate) => [candidate.lease.deviceId, candidate.lease]));
    const granted: OwnedDevice[] = [];
    try {
      const pairs = candidates.map(({ lease, epoch, reason }) => ({ deviceId: lease.deviceId, epoch, crash: reason === 'crash' }));
      const bumped = await deps.ledger.bump(pairs, options.nodeId);
      const reasons = new Map(candidates.map((candidate) => [candidate.lease.deviceId, candidate.reason]));
      await eachLimited([...byPartition(bumped, (row) => partitionOf(row.deviceId))], 16, async ([partition, rows]) => {
        const installed = await fence(partition, rows);
        for (const row of rows) {
          const lease = open.get(row.deviceId);
          if (lease === undefined || !installed.has(row.deviceId) || core.phase !== 'running') continue;
          if (!withinDeadline(deps.clock.monotonic(), lease.deadline, options.marginMs)) continue;
          open.delete(row.deviceId);
          // won late: its partition's place in the interval may come too late for it
          if (lease.deadline - deps.clock.monotonic() < 2 * options.renewMs) core.renewSoon(partition);
          granted.push(core.holdings.grant(lease, row.epoch, reasons.get(row.deviceId) ?? 'new', row.crashes));
        }
      });
    } catch (error) {
      log.warn('lease.claim.failed', { devices: open.size }, error);
    }
    if (granted.length > 0) tell(granted);
    if (open.size > 0) await locks.release([...open.values()]);
    return granted.length;
  };

  const tell = (granted: readonly OwnedDevice[]): void => {
    try {
      deps.listener.granted(granted);
    } catch (error) {
      log.error('lease.listener', { devices: granted.length }, error);
    }
  };

  /** the devices whose fence stands at their epoch now */
  const fence = async (partition: number, rows: readonly { readonly deviceId: string; readonly epoch: number }[]): Promise<Set<string>> => {
    const installed = new Set<string>();
    const generation = generations.get(partition) ?? (await generations.establish(partition, ''));
    for (const batch of chunks(rows, MOST_PER_CALL)) {
      const answer = await fenceScript(deps.redis, partition, generation, batch);
      if ('lost' in answer) {
        core.partitionLost(partition, answer.lost, generation);
        return new Set();
      }
      batch.forEach((row, i) => {
        if (answer.letters[i] === 'k') installed.add(row.deviceId);
        else deps.telemetry.count('fenced', 1, { where: 'claim' });
      });
    }
    return installed;
  };

  /** I3: what is left of these leases; the others are given back */
  const sure = async (won: readonly TakenLease[], anothers: ReadonlySet<string>): Promise<readonly TakenLease[]> => {
    const asked = won.filter((lease) => anothers.has(lease.deviceId));
    if (asked.length === 0) return won;
    const believed = await core.masters.look((masters) => asked.every((lease) => core.masters.sure(lease, masters)));
    const unsure = new Set(asked.filter((lease) => !core.masters.sure(lease, believed)));
    if (unsure.size === 0) return won;
    deps.telemetry.count('claims.unsure', unsure.size);
    await locks.release([...unsure]);
    return won.filter((lease) => !unsure.has(lease));
  };

  const round = async (deviceIds: readonly string[], namedOnly: (partition: number) => boolean): Promise<Claimed> => {
    const rows = await deps.ledger.owners(deviceIds);
    const released = await readReleased(deps.redis, rows);
    const allowed = rows.filter((row) => namedBy(row, released, options.nodeId) !== 'other' || !namedOnly(partitionOf(row.deviceId)));
    if (allowed.length === 0) return { asked: 0, granted: 0, took: 0 };
    const byId = new Map(allowed.map((row) => [row.deviceId, row]));
    const start = deps.clock.monotonic();
    const won = await locks.acquire([...byId.keys()]);
    const candidates: Candidate[] = [];
    const anothers = new Set(allowed.filter((row) => namedBy(row, released, options.nodeId) === 'other').map((row) => row.deviceId));
    for (const lease of await sure(won, anothers)) {
      const row = byId.get(lease.deviceId);
      if (row !== undefined) candidates.push({ lease, epoch: row.epoch, reason: reasonOf(row, released.get(lease.deviceId)) });
    }
    const granted = candidates.length > 0 ? await finish(candidates) : 0;
    return { asked: allowed.length, granted, took: (deps.clock.monotonic() - start) / options.renewMs };
  };

  /** runs `task` for the devices not under way yet */
  const exclusively = async (deviceIds: readonly string[], task: (free: string[]) => Promise<void>): Promise<void> => {
    const free = deviceIds.filter((id) => !core.busy.has(id) && !core.holdings.owned.has(id));
    for (const id of free) core.busy.add(id);
    try {
      if (free.length > 0) await task(free);
    } finally {
      for (const id of free) core.busy.delete(id);
    }
  };

  /** changes the offered tokens to tokens of our own: whoever offered them cannot take them back any more (handover I5) */
  const take = async (offered: Transfer['leases']): Promise<Transfer['leases'][number][]> => {
    const own = offered.map((lease) => ({ ...lease, token: randomBytes(16).toString('hex') }));
    const moved = await locks.transfer(offered.map(({ deviceId, token }, i) => ({ deviceId, token, target: own[i]?.token ?? '' })));
    const lost = own.filter((lease) => !moved.has(lease.deviceId));
    // a minority of masters may have taken the new token, or the answer got lost
    if (lost.length > 0) await locks.release(lost);
    return own.filter((lease) => moved.has(lease.deviceId));
  };

  return {
    async claim(deviceIds, namedOnly) {
      let asked = 0;
      let granted = 0;
      let took = 0;
      await exclusively(deviceIds, async (free) => {
        await eachLimited(chunks(free, ROUND), 2, async (batch) => {
          if (core.phase !== 'running' || !mayClaim(core.renewalsLate())) return;
          // not `asked += await …`: two rounds run at a time, and the one would forget the other's
          const tried = await round(batch, namedOnly);
          asked += tried.asked;
          granted += tried.granted;
          took = Math.max(took, tried.took);
        });
      });
      return { asked, granted, took };
    },
    async adopt(message) {
      const offered = new Map(message.leases.map((lease) => [lease.deviceId, lease]));
      // a message that comes twice must not undo what the first one began
      const fresh = [...offered.keys()].filter((id) => !core.busy.has(id) && !core.holdings.owned.has(id));
      // what is above this node's capacity is let go: others have room for it
      const room = Math.max(0, options.capacity - core.holdings.owned.size - core.busy.size);
      const refused = new Map<string, { readonly deviceId: string; readonly token: string }>(
        fresh.flatMap((id) => {
          const lease = offered.get(id);
          return lease === undefined ? [] : [[id, lease] as const];
        }),
      );
      if (core.phase === 'running') {
        await exclusively(fresh.slice(0, room), async (free) => {
          const candidates: Candidate[] = [];
          const own = await take(free.flatMap((id) => offered.get(id) ?? []));
          for (const lease of own) refused.set(lease.deviceId, lease);
          const orders: RenewOrder[] = [];
          await eachLimited([...byPartition(own, (lease) => partitionOf(lease.deviceId))], 16, async ([partition, items]) => {
            orders.push({ partition, generation: generations.get(partition) ?? (await generations.establish(partition, '')), items });
          });
          const outcomes = await renew({ redis: deps.redis, locks, ttlMs: options.ttlMs }, orders);
          outcomes.forEach((outcome, i) => {
            const { partition = -1, generation, items = [] } = orders[i] ?? {};
            if ('lost' in outcome) {
              core.partitionLost(partition, outcome.lost, generation);
              return;
            }
            outcome.renewals.forEach(({ deviceId, verdict, deadline, wallDeadline }, k) => {
              const lease = items[k];
              if (verdict !== 'kept' || lease === undefined) return;
              refused.delete(deviceId);
              candidates.push({ lease: { deviceId, token: lease.token, deadline, wallDeadline }, epoch: lease.epoch, reason: 'graceful' });
            });
          });
          if (candidates.length > 0) await finish(candidates);
        });
      }
      if (refused.size > 0) await locks.release([...refused.values()]);
    },
  };
}
