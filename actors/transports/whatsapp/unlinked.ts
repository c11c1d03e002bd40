import type { Sql } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import type { DeviceSession } from '../../sessions/index.ts';
import type { TransportDevice } from '../port.ts';

const unlinkedNow = readAsset(import.meta.url, './unlinked-now.sql');
const markErased = readAsset(import.meta.url, './mark-erased.sql');

/**
 * Who unlinks a device through the API cannot reach every store: the next owner erases what is left there, once per unlinking. True when it did. A session that was
 * paired or restored since stays.
 */
export async function eraseUnlinked(sql: Sql, device: Pick<TransportDevice, 'id' | 'settings'>, opened: DeviceSession): Promise<boolean> {
  const { unlinkedAt, erasedAt, restoredAt } = device.settings;
  if (typeof unlinkedAt !== 'number' || unlinkedAt === erasedAt || Number(restoredAt ?? 0) > unlinkedAt) return false;
  const rows = await sql.unsafe(unlinkedNow, [device.id, unlinkedAt], { prepare: true });
  if (rows.length === 0) return false;
  await opened.erase();
  await sql.unsafe(markErased, [device.id, unlinkedAt], { prepare: true });
  return true;
}
