import type { Sql } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';

export interface SentMessage {
  /** ledger id */
  readonly id: string;
  readonly body: string;
  /** of a message that is more than a text: what went over the wire */
  readonly wire?: Uint8Array;
}

/**
 * From a WhatsApp message id back to the ledger. Owns a bounded map of what this process sent; the ledger answers for the rest
 * (find-sent.sql). Called with every ack and receipt, and when a recipient asks for a message again.
 */
export interface WireIds {
  remember(deviceId: string, wireId: string, message: SentMessage): void;
  /** null: not a message of ours (sent by the phone, or older than the device's last 5,000) */
  find(deviceId: string, wireId: string): Promise<SentMessage | null>;
}

const findSent = readAsset(import.meta.url, './find-sent.sql');
const OURS = /^3EB0[0-9A-F]{18}$/;
/** bodies included: about 10 MB at 500 bytes each (guess) */
const REMEMBERED = 20_000;

export function createWireIds(sql: Sql, options: { readonly maxEntries?: number } = {}): WireIds {
  const sent = new Map<string, SentMessage>();
  const keep = (key: string, message: SentMessage): void => {
    sent.delete(key);
    sent.set(key, message);
    for (const oldest of sent.keys()) {
      if (sent.size <= (options.maxEntries ?? REMEMBERED)) break;
      sent.delete(oldest);
    }
  };
  return {
    remember: (deviceId, wireId, message) => keep(`${deviceId}/${wireId}`, message),
    async find(deviceId, wireId) {
      const key = `${deviceId}/${wireId}`;
      const known = sent.get(key);
      if (known !== undefined || !OURS.test(wireId)) return known ?? null;
      const rows = await sql.unsafe<{ id: string; body: string; wire: Uint8Array | null }[]>(findSent, [deviceId, wireId], {
        prepare: true,
      });
      const row = rows[0];
      if (row === undefined) return null;
      const found: SentMessage = { id: row.id, body: row.body, ...(row.wire === null ? {} : { wire: row.wire }) };
      keep(key, found);
      return found;
    },
  };
}
