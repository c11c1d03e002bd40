import { LINK_ACK_STATUSES, LINK_LIMITS, type LinkFromDevice } from '../../schema/link/index.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const isText = (value: unknown, limit: number): value is string => typeof value === 'string' && value.length > 0 && value.length <= limit;
const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value);

/**
 * A frame, or what is wrong with it (for the `bye`). Says what asyncapi.json says, which a test holds against it; fields that are not of the
 * protocol are ignored.
 */
export function readFrame(data: Buffer): LinkFromDevice | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.toString('utf8'));
  } catch {
    return 'INVALID_JSON';
  }
  return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    ? frameOf(parsed as Record<string, unknown>)
    : 'EXPECTED_OBJECT';
}

function frameOf(frame: Record<string, unknown>): LinkFromDevice | string {
  switch (frame['type']) {
    case 'pong':
      return { type: 'pong' };
    case 'hello':
      return readHello(frame);
    case 'ack':
      return readAck(frame);
    case 'inbound':
      return readInbound(frame);
    default:
      return 'UNKNOWN_TYPE';
  }
}

function readHello({ token, deviceId }: Record<string, unknown>): LinkFromDevice | string {
  if (!isText(token, LINK_LIMITS.token)) return 'EXPECTED_TOKEN';
  if (deviceId === undefined) return { type: 'hello', token };
  return isUuid(deviceId) ? { type: 'hello', token, deviceId } : 'EXPECTED_DEVICE_ID';
}

function readAck({ id, epoch, status, error }: Record<string, unknown>): LinkFromDevice | string {
  // message ids are the ledger's: anything else would fail in the statement, with all that stand in the same batch
  if (!isUuid(id)) return 'EXPECTED_ID';
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0) return 'EXPECTED_EPOCH';
  const known = LINK_ACK_STATUSES.find((one) => one === status);
  if (known === undefined) return 'EXPECTED_STATUS';
  if (error === undefined) return { type: 'ack', id, epoch, status: known };
  // Postgres keeps no zero character
  return typeof error === 'string' && error.length <= LINK_LIMITS.error && !error.includes('\u0000')
    ? { type: 'ack', id, epoch, status: known, error }
    : 'EXPECTED_ERROR';
}

function readInbound({ id, from, body }: Record<string, unknown>): LinkFromDevice | string {
  if (!isText(id, LINK_LIMITS.inboundId) || id.includes('\u0000')) return 'EXPECTED_ID';
  if (!isText(from, LINK_LIMITS.from) || from.includes('\u0000')) return 'EXPECTED_FROM';
  if (typeof body !== 'string' || body.includes('\u0000')) return 'EXPECTED_BODY';
  return { type: 'inbound', id, from, body };
}
