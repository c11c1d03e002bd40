import type { DeviceRecord } from '../../schema/domain/index.ts';
import type { DeviceRow } from '../../schema/sql/index.ts';
import { type DeviceFacts, named } from './machine.ts';

/** What the world is told of a device: what it is called now, who owns it. `at` is wall ms. */
export function recordOf(
  row: DeviceRow,
  facts: DeviceFacts,
  rest: Pick<DeviceRecord, 'epoch' | 'version' | 'at'> & { readonly node: string },
): DeviceRecord {
  const { id, name, transport } = row;
  return { id, name, ...named(facts), ...rest, node: facts.owner === 'lost' ? null : rest.node, transport };
}
