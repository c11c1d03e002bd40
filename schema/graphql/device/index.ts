import type { Kit } from '../builder.ts';
import { addLinkTokenMutations } from './link-tokens.ts';
import { addDeviceMutations } from './mutations.ts';
import { addDeviceQueries } from './queries.ts';
import { addDeviceType } from './type.ts';

export { deviceNotFound } from './mutations.ts';

export function addDevice(kit: Kit): void {
  addDeviceType(kit);
  addDeviceQueries(kit);
  addDeviceMutations(kit);
  addLinkTokenMutations(kit);
}
