import type { Sql } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';

const text = {
  loadCreds: readAsset(import.meta.url, './load-creds.sql'),
  loadKeys: readAsset(import.meta.url, './load-keys.sql'),
  saveCreds: readAsset(import.meta.url, './save-creds.sql'),
  setKeys: readAsset(import.meta.url, './set-keys.sql'),
  erase: readAsset(import.meta.url, './erase.sql'),
  keyIds: readAsset(import.meta.url, './key-ids.sql'),
};
const prepared = { prepare: true } as const;

/** The sealed creds of a device, or null. */
export async function loadCreds(sql: Sql, deviceId: string): Promise<Uint8Array | null> {
  const rows = await sql.unsafe<{ creds: Uint8Array }[]>(text.loadCreds, [deviceId], prepared);
  return rows[0]?.creds ?? null;
}

/** The sealed keys that are there, in no order. */
export async function loadKeys(
  sql: Sql,
  deviceId: string,
  type: string,
  ids: readonly string[],
): Promise<readonly { readonly id: string; readonly value: Uint8Array }[]> {
  return sql.unsafe<{ id: string; value: Uint8Array }[]>(text.loadKeys, [deviceId, type, [...ids]], prepared);
}

/** False: the caller's epoch is not the device's any more; nothing changed. */
export async function saveCreds(sql: Sql, deviceId: string, epoch: number, sealed: Buffer): Promise<boolean> {
  return owned(sql, text.saveCreds, [deviceId, epoch, sealed.toString('base64')]);
}

export interface SealedKey {
  readonly type: string;
  readonly id: string;
  /** null = delete */
  readonly value: Buffer | null;
}

/** All keys or none. False: the caller's epoch is not the device's any more; nothing changed. */
export async function setKeys(sql: Sql, deviceId: string, epoch: number, keys: readonly SealedKey[]): Promise<boolean> {
  return owned(sql, text.setKeys, [
    deviceId,
    epoch,
    keys.map((key) => key.type),
    keys.map((key) => key.id),
    keys.map((key) => key.value?.toString('base64') ?? null),
  ]);
}

/** Removes creds and keys. False: the caller's epoch is not the device's any more; nothing changed. */
export async function eraseSession(sql: Sql, deviceId: string, epoch: number): Promise<boolean> {
  return owned(sql, text.erase, [deviceId, epoch]);
}

async function owned(sql: Sql, statement: string, parameters: NonNullable<Parameters<Sql['unsafe']>[1]>): Promise<boolean> {
  const rows = await sql.unsafe<{ owned: boolean }[]>(statement, parameters, prepared);
  return rows[0]?.owned === true;
}

export interface SealingKey {
  readonly id: string;
  /** sessions it seals */
  readonly sessions: number;
  /** some of them, and their creds (base64) in the same order */
  readonly devices: readonly string[];
  readonly creds: readonly string[];
}

/** The keys that seal the stored sessions. */
export async function sealingKeys(sql: Sql): Promise<readonly SealingKey[]> {
  return sql.unsafe<SealingKey[]>(text.keyIds, [], prepared);
}
