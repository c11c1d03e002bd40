import type { Sql } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import type { Sealed } from './sealed.ts';

const text = {
  loadCreds: readAsset(import.meta.url, './load-creds.sql'),
  loadKeys: readAsset(import.meta.url, './load-keys.sql'),
  saveCreds: readAsset(import.meta.url, './save-creds.sql'),
  setKeys: readAsset(import.meta.url, './set-keys.sql'),
  erase: readAsset(import.meta.url, './erase.sql'),
  keyIds: readAsset(import.meta.url, './key-ids.sql'),
  readSession: readAsset(import.meta.url, './read-session.sql'),
  swap: readAsset(import.meta.url, './swap.sql'),
};
const prepared = { prepare: true } as const;
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

/**
 * Sessions in Postgres (`sessions`, `session_keys`). The fence is the ownership row itself: each write takes a share lock on it and is refused when it
 * holds another epoch, so here a write is refused from the moment the epoch rises (stricter than K1).
 */
export function createPostgresStore(sql: Sql): Sealed {
  const owned = async (statement: string, parameters: NonNullable<Parameters<Sql['unsafe']>[1]>): Promise<boolean> => {
    const rows = await sql.unsafe<{ owned: boolean }[]>(statement, parameters, prepared);
    return rows[0]?.owned === true;
  };
  return {
    async open(deviceId) {
      const rows = await sql.unsafe<{ creds: Uint8Array }[]>(text.loadCreds, [deviceId], prepared);
      return rows[0]?.creds ?? null;
    },
    keys: (deviceId, type, ids) => sql.unsafe<{ id: string; value: Uint8Array }[]>(text.loadKeys, [deviceId, type, [...ids]], prepared),
    saveCreds: (deviceId, epoch, sealed) => owned(text.saveCreds, [deviceId, epoch, base64(sealed)]),
    setKeys: (deviceId, epoch, keys) =>
      owned(text.setKeys, [
        deviceId,
        epoch,
        keys.map((key) => key.type),
        keys.map((key) => key.id),
        keys.map((key) => (key.value === null ? null : base64(key.value))),
      ]),
    erase: (deviceId, epoch) => owned(text.erase, [deviceId, epoch]),
    async devices() {
      const rows = await sql.unsafe<{ id: string }[]>('select device_id as id from sessions order by 1');
      return rows.map(({ id }) => id);
    },
    async read(deviceId) {
      const rows = await sql.unsafe<{ type: string; id: string; value: Uint8Array }[]>(text.readSession, [deviceId], prepared);
      const creds = rows.find(({ type }) => type === '');
      return creds === undefined ? null : { creds: creds.value, keys: rows.filter(({ type }) => type !== '') };
    },
    async swap(deviceId, changes) {
      const rows = await sql.unsafe<{ swapped: number }[]>(
        text.swap,
        [
          deviceId,
          changes.map(({ type }) => type),
          changes.map(({ id }) => id),
          changes.map(({ old }) => base64(old)),
          changes.map(({ fresh }) => base64(fresh)),
        ],
        prepared,
      );
      return rows[0]?.swapped ?? 0;
    },
    async sealing() {
      const rows = await sql.unsafe<{ id: string; sessions: number; devices: string[]; creds: string[] }[]>(text.keyIds, [], prepared);
      return rows.map(({ id, sessions, devices, creds }) => ({
        id,
        sessions,
        samples: devices.map((deviceId, index) => ({ deviceId, creds: Buffer.from(creds[index] ?? '', 'base64') })),
      }));
    },
  };
}
