import { LINK_ACK_STATUSES, type LinkFromDevice } from '../../schema/domain/index.ts';

/** Longest frame of a device, bytes. */
export const FRAME_BYTES = 64 * 1024;
const ID_LIMIT = 128;
const ERROR_LIMIT = 500;
const FROM_LIMIT = 128;

/** Close codes of the link protocol. Below 4500 a device should not come back without a change; `replaced` not at all. */
export const LINK_CLOSE = Object.freeze({
  protocol: 4400,
  unauthorized: 4401,
  helloTimeout: 4408,
  replaced: 4409,
  closedByOwner: 4410,
  heartbeat: 4411,
  tooLarge: 1009,
  unsupported: 1003,
  rate: 1008,
  away: 1013,
});

const isText = (value: unknown, limit: number): value is string => typeof value === 'string' && value.length > 0 && value.length <= limit;

/** A frame, or what is wrong with it (for the `bye`). Fields that are not of the protocol are ignored. */
export function readFrame(data: Buffer): LinkFromDevice | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.toString('utf8'));
  } catch {
    return 'INVALID_JSON';
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'EXPECTED_OBJECT';
  const frame = parsed as Record<string, unknown>;
  switch (frame['type']) {
    case 'pong':
      return { type: 'pong' };
    case 'hello':
      return isText(frame['token'], 512) ? { type: 'hello', token: frame['token'] } : 'EXPECTED_TOKEN';
    case 'ack':
      return readAck(frame);
    case 'inbound': {
      const { id, from, body } = frame;
      if (!isText(id, ID_LIMIT)) return 'EXPECTED_ID';
      if (!isText(from, FROM_LIMIT)) return 'EXPECTED_FROM';
      if (typeof body !== 'string' || `${id}${from}${body}`.includes('\u0000')) return 'EXPECTED_BODY';
      return { type: 'inbound', id, from, body };
    }
    default:
      return 'UNKNOWN_TYPE';
  }
}

function readAck(frame: Record<string, unknown>): LinkFromDevice | string {
  const { id, epoch, status, error } = frame;
  if (!isText(id, ID_LIMIT)) return 'EXPECTED_ID';
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch)) return 'EXPECTED_EPOCH';
  const known = LINK_ACK_STATUSES.find((one) => one === status);
  if (known === undefined) return 'EXPECTED_STATUS';
  return { type: 'ack', id, epoch, status: known, ...(typeof error === 'string' ? { error: error.slice(0, ERROR_LIMIT) } : {}) };
}
