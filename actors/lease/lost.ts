import type { Claims } from './claim.ts';
import type { Core } from './core.ts';

/**
 * What follows when a partition of Redis is found lost: abort what is ours in it, let go, a new generation, claim again.
 * Owns: which partitions are being rebuilt, and what is to be claimed again. Called by whoever gets a LOST answer (through the core).
 *
 * I1 A partition is rebuilt once per finding; a finding about a generation that has been replaced since says nothing.
 * I2 Epochs come from Postgres: what was held is claimed like anything else, by the node that Postgres names.
 */
export interface LostPartitions {
  found(core: Core, claims: Claims, partition: number, cause: string, believed: string | undefined): void;
  rebuilding(): boolean;
}

/** Devices of partitions lost within this are claimed together. */
const RECLAIM_MS = 20;

export function createLostPartitions(): LostPartitions {
  const underway = new Set<number>();
  const waiting = new Set<string>();

  const reclaim = (core: Core, claims: Claims, deviceIds: readonly string[]): void => {
    const { clock, telemetry } = core.deps;
    if (waiting.size === 0 && deviceIds.length > 0) {
      clock.after(RECLAIM_MS, () => {
        const ids = [...waiting];
        waiting.clear();
        if (core.phase !== 'running') return;
        claims.claim(ids, () => true).catch((error: unknown) => telemetry.log.warn('partition.reclaim.failed', {}, error));
      });
    }
    for (const deviceId of deviceIds) waiting.add(deviceId);
  };

  return {
    rebuilding: () => underway.size > 0,
    found(core, claims, partition, cause, believed) {
      const { generations, holdings } = core;
      const { telemetry } = core.deps;
      if (underway.has(partition) || generations.get(partition) !== believed || core.phase === 'stopped') return;
      underway.add(partition);
      generations.forget(partition);
      telemetry.count('partition.lost', 1, { cause });
      const lost = holdings.inPartition(partition).flatMap((held) => holdings.lose(held.device.deviceId, 'REDIS_LOST') ?? []);
      telemetry.log.warn('partition.lost', { partition, cause, devices: lost.length });
      const rebuild = async (): Promise<void> => {
        await core.letGo(lost, false);
        // FENCE: this Redis is older than what it was; its generation must not be believed by anybody any more
        await generations.establish(partition, cause === 'FENCE' ? (believed ?? '') : '');
        telemetry.count('partition.rebuilt');
      };
      rebuild()
        .catch((error: unknown) => telemetry.log.warn('partition.rebuild.failed', { partition }, error))
        .finally(() => {
          underway.delete(partition);
          reclaim(
            core,
            claims,
            lost.map((held) => held.device.deviceId),
          );
        });
    },
  };
}
