import type { ProxySeal } from '../../actors/transports/whatsapp/index.ts';
import { AddressRefused, type Sql } from '../../ops/connect/index.ts';
import type { DeviceCommands, DevicePatch } from '../../schema/graphql/index.ts';
import * as ledger from '../../schema/sql/index.ts';

interface Deps {
  readonly sql: Sql;
  readonly proxies: Pick<ProxySeal, 'seal'>;
}

/** With the address of its proxy sealed. @throws AddressRefused */
function sealed({ proxies }: Deps, deviceId: string, patch: DevicePatch): ledger.DevicePatch {
  const address = patch.settings?.proxy;
  if (typeof address !== 'string') return patch;
  return { ...patch, settings: { ...patch.settings, proxy: proxies.seal(deviceId, address) } };
}

/** Changes a device and tells its owner (`tell`); what the ledger or the address refuses is an answer. */
export async function updateDevice(
  deps: Deps,
  tenantId: string,
  deviceId: string,
  patch: DevicePatch,
  tell: (row: ledger.DeviceRow | null) => ledger.DeviceRow | null,
): ReturnType<DeviceCommands['update']> {
  try {
    return tell(await ledger.updateDevice(deps.sql, tenantId, deviceId, sealed(deps, deviceId, patch)));
  } catch (error) {
    if (error instanceof AddressRefused) return { proxyFault: error.message };
    const { code } = error as { readonly code?: unknown };
    if (code === '23505') return 'NAME_TAKEN';
    if (code === '23514') return 'PACE_INVALID';
    if (code === '22023') return 'ZONE_UNKNOWN';
    throw error;
  }
}
