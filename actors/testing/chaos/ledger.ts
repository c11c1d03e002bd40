import { connectPostgres } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import type { LedgerRow } from '../checker/index.ts';

const END_BACKENDS = readAsset(import.meta.url, './end-backends.sql');
const IN_FLIGHT = readAsset(import.meta.url, './in-flight.sql');
const OWNED = readAsset(import.meta.url, './owned.sql');
const OPEN = readAsset(import.meta.url, './open.sql');
const ROWS = readAsset(import.meta.url, './rows.sql');
const OPEN_OF = readAsset(import.meta.url, './open-of.sql');
const OWNED_SINCE = readAsset(import.meta.url, './owned-since.sql');
const QUARANTINED = readAsset(import.meta.url, './quarantined.sql');
const OPEN_SOME = readAsset(import.meta.url, './open-some.sql');
const PAGE = 2000;

export interface OpenMessage {
  readonly id: string;
  readonly device: string;
  readonly lane: string;
  readonly seq: number | null;
  readonly state: string;
  readonly attempt: number;
  readonly node: string | null;
  readonly epoch: number;
}

/** What a chaos run reads of the ledger, past every process of the product. */
export interface LedgerView {
  owned(): Promise<readonly { readonly deviceId: string; readonly epoch: number; readonly node: string | null }[]>;
  /** messages of these devices whose outcome is open */
  inFlight(deviceIds: readonly string[]): Promise<number>;
  /** messages that have not ended */
  open(): Promise<number>;
  /** messages of one device that have not ended */
  openOf(deviceId: string): Promise<number>;
  /** devices whose owner began at this wall ms or later */
  ownedSince(at: number): Promise<number>;
  /** devices in quarantine */
  quarantined(): Promise<readonly string[]>;
  /** the oldest messages that have not ended */
  openSome(most: number): Promise<readonly OpenMessage[]>;
  rows(each: (row: LedgerRow) => void): Promise<void>;
  /** ends the connections of the product's processes to Postgres. @returns how many */
  endBackends(): Promise<number>;
  close(): Promise<void>;
}

export function viewLedger(databaseUrl: string): LedgerView {
  const sql = connectPostgres(databaseUrl, { applicationName: 'chaos', max: 2, statementTimeoutMs: 60_000 });
  return {
    async owned() {
      const rows = await sql.unsafe<{ device_id: string; epoch: number; node: string | null }[]>(OWNED);
      return rows.map((row) => ({ deviceId: row.device_id, epoch: row.epoch, node: row.node }));
    },
    async inFlight(deviceIds) {
      const rows = await sql.unsafe<{ messages: number }[]>(IN_FLIGHT, [[...deviceIds]]);
      return rows[0]?.messages ?? 0;
    },
    async open() {
      const rows = await sql.unsafe<{ messages: number }[]>(OPEN);
      return rows[0]?.messages ?? 0;
    },
    async openOf(deviceId) {
      const rows = await sql.unsafe<{ messages: number }[]>(OPEN_OF, [deviceId]);
      return rows[0]?.messages ?? 0;
    },
    async ownedSince(at) {
      const rows = await sql.unsafe<{ devices: number }[]>(OWNED_SINCE, [at]);
      return rows[0]?.devices ?? 0;
    },
    async quarantined() {
      const rows = await sql.unsafe<{ id: string }[]>(QUARANTINED);
      return rows.map((row) => row.id);
    },
    openSome: (most) => sql.unsafe<OpenMessage[]>(OPEN_SOME, [most]),
    async rows(each) {
      await sql.unsafe<LedgerRow[]>(ROWS).cursor(PAGE, (rows) => {
        for (const row of rows) each(row);
      });
    },
    async endBackends() {
      const rows = await sql.unsafe<{ ended: number }[]>(END_BACKENDS);
      return rows[0]?.ended ?? 0;
    },
    close: () => sql.end({ timeout: 2 }),
  };
}
