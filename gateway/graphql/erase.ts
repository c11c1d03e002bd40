import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { type Erased, eraseChunk, erasePerson } from '../../schema/sql/index.ts';
import type { Guard } from '../system/index.ts';

/** what an erasure may look through of the ledger while somebody waits; upkeep does the rest */
const ERASE_MS = 1500;

/** Erases people (schema/sql/erasures.ts). Owns nothing: whatever is not done here is gone on with by a node. */
export function createEraser(deps: { readonly sql: Sql; readonly guard: Guard; readonly clock: Clock }) {
  const { sql, guard, clock } = deps;
  return async (tenantId: string, phone: string): Promise<Erased> => {
    const until = clock.monotonic() + ERASE_MS;
    const id = uuidV7(clock.wall());
    const gone = await guard(() => erasePerson(sql, { id, tenantId, phone, nowMs: clock.wall() }));
    let looked = { messages: 0, whole: false };
    while (!looked.whole && clock.monotonic() < until) {
      const next = await guard(() => eraseChunk(sql, id));
      if (next === null) break;
      looked = next;
    }
    return { ...gone, ...looked };
  };
}
