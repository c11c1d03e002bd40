import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { FleetTotals } from '../../schema/graphql/index.ts';
import type { FleetCount, KeptTotals } from '../../schema/sql/index.ts';

/**
 * A fleet's figures in the time an answer has. Small fleets are counted for each answer. Of large ones the last count is kept in Postgres for all gateways;
 * it is answered as it is, and counted anew behind the answer when it is old.
 * Owns: which tenants are being counted for this gateway. Called by services.ts.
 * F1 A count that is answered is at most OLD_MS old (or twice the pause between two counts, for fleets that take half a second to count).
 * F2 Counting takes at most one part in SHARE of the time, over all gateways: a count is due when SHARE times its own duration has passed.
 */
export interface FleetTotalsDeps {
  readonly read: (tenantId: string) => Promise<KeptTotals>;
  /** null: another gateway is at it */
  readonly count: (tenantId: string) => Promise<FleetCount | null>;
  readonly telemetry: { readonly log: Pick<Telemetry['log'], 'warn'> };
}

const OLD_MS = 10_000;
const SHARE = 20;

export function createFleetTotals({ read, count, telemetry }: FleetTotalsDeps): (tenantId: string) => Promise<FleetTotals> {
  const counting = new Map<string, Promise<FleetCount | null>>();
  const countOnce = (tenantId: string): Promise<FleetCount | null> => {
    const known = counting.get(tenantId);
    if (known !== undefined) return known;
    const made = count(tenantId).finally(() => counting.delete(tenantId));
    counting.set(tenantId, made);
    return made;
  };
  return async (tenantId) => {
    const { kept, sentPerMinute, failedPerMinute } = await read(tenantId);
    const answer = ({ devices, backlog }: FleetCount): FleetTotals => ({ devices, backlog, sentPerMinute, failedPerMinute });
    if (kept !== null) {
      const due = kept.tookMs * SHARE;
      if (kept.ageMs <= due) return answer(kept);
      if (kept.ageMs <= Math.max(OLD_MS, due * 2)) {
        countOnce(tenantId).catch((error: unknown) => telemetry.log.warn('fleet.count', {}, error));
        return answer(kept);
      }
    }
    const counted = (await countOnce(tenantId)) ?? kept;
    if (counted === null) throw new Error('a fleet was neither counted nor kept');
    return answer(counted);
  };
}
