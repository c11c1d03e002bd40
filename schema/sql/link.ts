import { readAsset } from '../../ops/lifecycle/index.ts';
import { arrayLiteral, column, query, type SqlRunner } from './statement.ts';

const HELLO = readAsset(import.meta.url, './link-hello.sql');
const REVOKED = readAsset(import.meta.url, './link-revoked.sql');

/** A device that a link token belongs to, and its owner as last committed. */
export interface LinkHello {
  readonly id: string;
  readonly tenantId: string;
  /** deleted, or no link device any more */
  readonly gone: boolean;
  /** 0: never owned */
  readonly epoch: number;
  readonly node: string | null;
}

/** Devices by the SHA-256 of their link tokens, in the order given; null where no device has it. One statement for all. */
export async function linkHellos(sql: SqlRunner, hashes: readonly Uint8Array[]): Promise<readonly (LinkHello | null)[]> {
  if (hashes.length === 0) return [];
  const rows = await query<{ hash: Buffer; id: string; tenant_id: string; gone: boolean; epoch: number; node: string | null }>(sql, HELLO, [
    arrayLiteral(hashes),
  ]);
  const found = new Map(
    rows.map(({ hash, id, tenant_id: tenantId, gone, epoch, node }) => [hash.toString('hex'), { id, tenantId, gone, epoch, node }]),
  );
  return hashes.map((hash) => found.get(Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('hex')) ?? null);
}

/** Those of the devices whose link token is no longer the one they said hello with. `gone`: the device is deleted. */
export async function revokedLinks(
  sql: SqlRunner,
  devices: readonly { readonly id: string; readonly hash: Uint8Array }[],
): Promise<readonly { readonly id: string; readonly gone: boolean }[]> {
  if (devices.length === 0) return [];
  return await query<{ id: string; gone: boolean }>(sql, REVOKED, [
    column(devices, (device) => device.id),
    column(devices, (device) => device.hash),
  ]);
}
