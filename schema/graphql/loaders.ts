import DataLoader from 'dataloader';
import { isUuid } from '../domain/index.ts';
import type { DeviceRow } from '../sql/types.ts';
import type { GraphqlLoaders, LedgerReads } from './context.ts';

/** Batches the lookups of one operation. Made lazily: a plain sendMessage needs none. */
export function createLoaders(ledger: LedgerReads, tenantId: string): GraphqlLoaders {
  const lazy = <T>(keyOf: (row: T) => string, read: (tenantId: string, ids: readonly string[]) => Promise<readonly T[]>) => {
    let loader: DataLoader<string, T | null> | undefined;
    return (id: string): Promise<T | null> => {
      if (!isUuid(id)) return Promise.resolve(null);
      loader ??= new DataLoader<string, T | null>(
        async (ids) => {
          const rows = new Map((await read(tenantId, ids)).map((row) => [keyOf(row), row]));
          return ids.map((wanted) => rows.get(wanted) ?? null);
        },
        { maxBatchSize: 1000 },
      );
      return loader.load(id);
    };
  };
  const deviceEver = lazy<DeviceRow>(
    (row) => row.id,
    (tenant, ids) => ledger.devicesByIds(tenant, ids),
  );
  return {
    device: async (id) => {
      const row = await deviceEver(id);
      return row === null || row.deleted ? null : row;
    },
    deviceEver,
    message: lazy(
      (row) => row.id,
      (tenant, ids) => ledger.messagesByIds(tenant, ids),
    ),
    sendability: lazy(
      (row) => row.deviceId,
      (tenant, ids) => ledger.sendability(tenant, ids),
    ),
  };
}
