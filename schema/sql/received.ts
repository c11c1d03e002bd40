import { readAsset } from '../../ops/lifecycle/index.ts';
import { KEYWORD_LIMIT, plainWords, type ReceivedMedia } from '../domain/index.ts';
import { column, query, type SqlRunner } from './statement.ts';

/** What devices received. */

const STORE = readAsset(import.meta.url, './store-inbound.sql');
const PAGE = readAsset(import.meta.url, './received-page.sql');
const DEVICE_PAGE = readAsset(import.meta.url, './device-received-page.sql');
const FIND = readAsset(import.meta.url, './find-received.sql');

export interface InboundItem {
  readonly deviceId: string;
  /** the provider's or device's own id: unique within the device */
  readonly id: string;
  readonly tenantId: string;
  readonly sender: string;
  readonly senderLid: string | null;
  readonly body: string;
  readonly receivedAt: number;
  readonly media?: ReceivedMedia | null;
}

const keywordOf = (body: string): string | null => {
  const words = body.length > 2 * KEYWORD_LIMIT ? '' : plainWords(body);
  return words === '' || words.length > KEYWORD_LIMIT ? null : words;
};

/**
 * Stores inbound messages once per (device, id) and does what flows make of them (store-inbound.sql); returns which of them are new. After it
 * returns every item is stored.
 */
export async function storeInbound(
  sql: SqlRunner,
  items: readonly InboundItem[],
): Promise<readonly { readonly deviceId: string; readonly id: string }[]> {
  if (items.length === 0) return [];
  const rows = await query<{ device_id: string; id: string }>(sql, STORE, [
    column(items, (item) => item.deviceId),
    column(items, (item) => item.id),
    column(items, (item) => item.tenantId),
    column(items, (item) => item.sender),
    column(items, (item) => item.senderLid),
    column(items, (item) => item.body),
    column(items, (item) => item.receivedAt),
    column(items, (item) => (item.media == null ? null : JSON.stringify(item.media))),
    column(items, (item) => keywordOf(item.body)),
  ]);
  return rows.map((row) => ({ deviceId: row.device_id, id: row.id }));
}

export interface ReceivedRow {
  readonly deviceId: string;
  readonly id: string;
  /** E.164, or the LID JID where the number is not known */
  readonly sender: string;
  readonly senderLid: string | null;
  readonly body: string;
  readonly media: ReceivedMedia | null;
  /** µs since 1970; with device and id the cursor */
  readonly receivedMicros: number;
}
export interface ReceivedKey {
  readonly receivedMicros: number;
  readonly deviceId: string;
  readonly id: string;
}

interface Row {
  readonly device_id: string;
  readonly id: string;
  readonly sender: string;
  readonly sender_lid: string | null;
  readonly body: string;
  readonly media: ReceivedMedia | null;
  readonly received_micros: number;
}
const receivedOf = (row: Row): ReceivedRow => ({
  deviceId: row.device_id,
  id: row.id,
  sender: row.sender,
  senderLid: row.sender_lid,
  body: row.body,
  media: row.media,
  receivedMicros: row.received_micros,
});

/** Newest first; `deviceId` null = of all devices of the tenant. */
export async function receivedPage(
  sql: SqlRunner,
  tenantId: string,
  { deviceId, after, limit }: { readonly deviceId: string | null; readonly after: ReceivedKey | null; readonly limit: number },
): Promise<readonly ReceivedRow[]> {
  const parameters = [tenantId, after?.receivedMicros ?? null, after?.deviceId ?? null, after?.id ?? null, limit];
  const rows = deviceId === null ? await query<Row>(sql, PAGE, parameters) : await query<Row>(sql, DEVICE_PAGE, [...parameters, deviceId]);
  return rows.map(receivedOf);
}

export interface FoundReceived extends ReceivedRow {
  readonly deviceSettings: Readonly<Record<string, unknown>>;
  readonly transport: string;
}

/** Null: the tenant has none. */
export async function findReceived(sql: SqlRunner, tenantId: string, deviceId: string, id: string): Promise<FoundReceived | null> {
  const [row] = await query<Row & { readonly device_settings: FoundReceived['deviceSettings']; readonly transport: string }>(sql, FIND, [
    tenantId,
    deviceId,
    id,
  ]);
  return row === undefined ? null : { ...receivedOf(row), deviceSettings: row.device_settings, transport: row.transport };
}
