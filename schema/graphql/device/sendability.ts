import { CONNECTED_STATES, type DeviceRecord, standingOf } from '../../domain/index.ts';
import type { DeviceRow } from '../../sql/types.ts';
import type { SendabilityShape } from '../builder.ts';
import type { SendabilityRow } from '../context.ts';

/** Reasons in the order in which a person should look at them. */
export const SENDABILITY_REASONS = [
  'DELETED',
  'QUARANTINED',
  'PAUSED',
  'NOT_PAIRED',
  'LOGGED_OUT',
  'NO_OWNER',
  'MOVING',
  'OFFLINE',
  'CONNECTING',
  'CIRCUIT_OPEN',
  'PROBATION',
  'RATE_LIMITED',
  'QUIET_HOURS',
  'DAILY_CAP',
  'COLD_PAUSED',
  'PACE',
  'EMPTY_QUEUE',
] as const;
export type SendabilityReason = (typeof SENDABILITY_REASONS)[number];

/**
 * These do not stop a device: PACE passes by itself, an empty queue only means that there is nothing to do, and while new chats are paused those who know
 * the device are written to.
 */
const HARMLESS: ReadonlySet<SendabilityReason> = new Set<SendabilityReason>(['COLD_PAUSED', 'PACE', 'EMPTY_QUEUE']);

/** Why a device is (not) sending, from what the ledger knows and what its owner last said. Pure. */
export function sendabilityOf(
  device: DeviceRow,
  row: SendabilityRow | null,
  live: DeviceRecord | undefined,
  now: number,
): SendabilityShape {
  const found = new Set<SendabilityReason>();
  if (device.deleted) found.add('DELETED');
  if (device.quarantined) found.add('QUARANTINED');
  if (device.paused) found.add('PAUSED');
  if (device.transport === 'whatsapp' && !device.paired) found.add('NOT_PAIRED');
  const fromState = reasonOfState(live);
  if (fromState !== null) found.add(fromState);
  const { heldUntil, coldUntil } = standingOf(device.settings);
  const held = heldUntil !== null && heldUntil > now;
  if (held) found.add('RATE_LIMITED');
  const cold = coldUntil !== null && coldUntil > now;
  if (cold) found.add('COLD_PAUSED');
  const quietUntil = row?.quietUntil ?? null;
  if (quietUntil !== null) found.add('QUIET_HOURS');
  const capped = row !== null && row.sendsADay !== null && row.sentToday >= row.sendsADay;
  if (capped) found.add('DAILY_CAP');
  const nextSendAt = row?.nextSendAt ?? null;
  const paced = nextSendAt !== null && nextSendAt > now;
  if (paced) found.add('PACE');
  if (row !== null && row.backlog <= 0) found.add('EMPTY_QUEUE');
  const reasons = SENDABILITY_REASONS.filter((reason) => found.has(reason));
  return {
    canSend: reasons.every((reason) => HARMLESS.has(reason)),
    reasons,
    until: held
      ? heldUntil
      : quietUntil !== null
        ? quietUntil
        : capped && row !== null
          ? row.dayEndsAt
          : cold
            ? coldUntil
            : paced
              ? nextSendAt
              : null,
    backlog: row === null ? 0 : Math.max(0, row.backlog),
    nextSendAt,
  };
}

function reasonOfState(live: DeviceRecord | undefined): SendabilityReason | null {
  if (live === undefined) return 'NO_OWNER';
  if (live.state === 'THROTTLED' && live.reason === 'PROBATION') return 'PROBATION';
  if (CONNECTED_STATES.has(live.state)) return null;
  switch (live.state) {
    case 'UNPAIRED':
    case 'PAIRING':
      return 'NOT_PAIRED';
    case 'CONNECTING':
      return 'CONNECTING';
    case 'CIRCUIT_OPEN':
      return 'CIRCUIT_OPEN';
    case 'LOGGED_OUT':
      return 'LOGGED_OUT';
    case 'MOVING':
      return 'MOVING';
    case 'UNKNOWN':
      return 'NO_OWNER';
    case 'OFFLINE':
      return 'OFFLINE';
    // PAUSED and QUARANTINED: the row says so (and may already say otherwise)
    default:
      return null;
  }
}
