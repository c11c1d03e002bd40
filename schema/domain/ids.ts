import { createHash, randomFillSync } from 'node:crypto';

/** The 48-bit time (ms since 1970) that a UUIDv7 carries. Source: RFC 9562, 5.7. */
export function timeOfUuidV7(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/**
 * A UUIDv7 (RFC 9562, 5.7) for the given wall time in ms. The 74 other bits are random.
 * Rising order inside one millisecond is not promised; `seq` orders messages.
 */
export function uuidV7(wallMs: number): string {
  const bytes = randomFillSync(Buffer.allocUnsafe(16));
  bytes.writeUIntBE(wallMs, 0, 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** True for a lower-case UUID of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The lowest UUIDv7 of a wall time in ms: the boundary of ledger partitions. */
export function lowestUuidV7(wallMs: number): string {
  const hex = Math.max(0, Math.floor(wallMs)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}

/**
 * The WhatsApp message id of a ledger message: fixed before the first attempt, so that a repeat after a crash carries the same id.
 * Shape: `3EB0` and 18 upper-case hex digits, as WhatsApp's own web clients make them.
 */
export function whatsappIdOf(messageId: string): string {
  return `3EB0${createHash('sha256').update(messageId).digest('hex').slice(0, 18).toUpperCase()}`;
}
