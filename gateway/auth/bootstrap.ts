import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import type { TenantRow } from '../../schema/graphql/index.ts';
import { createTenant, ensureAdminKey, findApiKey, loadTenants } from '../../schema/sql/index.ts';
import type { AuthDeps } from './authenticate.ts';
import { hashOf } from './keys.ts';

/** The tenant in which the installation's key acts when no other is named. */
export const DEFAULT_TENANT = 'default';
const ADMIN_KEY_NAME = 'ADMIN_API_KEY';

/** Makes the default tenant and the configured admin key, if they are not there. Run at the start of every gateway; safe to repeat. */
export async function ensureAccess(sql: Sql, adminKey: string, clock: Pick<Clock, 'wall'>): Promise<TenantRow> {
  await ensureAdminKey(sql, { id: uuidV7(clock.wall()), name: ADMIN_KEY_NAME, hash: hashOf(adminKey) });
  const made = await createTenant(sql, { id: uuidV7(clock.wall()), name: DEFAULT_TENANT });
  const tenant = made ?? (await loadTenants(sql)).find((row) => row.name === DEFAULT_TENANT);
  if (tenant === undefined) throw new Error(`the tenant ${DEFAULT_TENANT} can be neither made nor found`);
  return tenant;
}

/** The lookups of `createAuthenticator`, from the ledger. */
export function sqlLookups(sql: Sql): Pick<AuthDeps, 'findKey' | 'findTenant'> {
  return {
    findKey: (hash) => findApiKey(sql, hash),
    findTenant: async (by) => {
      const rows = await loadTenants(sql, 'id' in by ? [by.id] : null);
      return rows.find((row) => 'id' in by || row.name === by.name) ?? null;
    },
  };
}
