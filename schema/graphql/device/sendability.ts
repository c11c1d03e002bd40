import { CONNECTED_STATES, type DeviceRecord } from '../../domain/index.ts';
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
  'DAILY_CAP',
  'PACE',
  'EMPTY_QUEUE',
] as const;
export type SendabilityReason = (typeof SENDABILITY_REASONS)[number];

/** These do not stop a device: PACE passes by itself, and an empty queue only means that there is nothing to do. */
const HARMLESS: ReadonlySet<SendabilityReason> = new Set<SendabilityReason>(['PACE', 'EMPTY_QUEUE']);

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
  const capped = device.dailyCap !== null && row !== null && row.sentToday >= device.dailyCap;
  if (capped) found.add('DAILY_CAP');
  const nextSendAt = row?.nextSendAt ?? null;
  const paced = nextSendAt !== null && nextSendAt > now;
  if (paced) found.add('PACE');
  if (row !== null && row.backlog <= 0) found.add('EMPTY_QUEUE');
  const reasons = SENDABILITY_REASONS.filter((reason) => found.has(reason));
  return {
    canSend: reasons.every((reason) => HARMLESS.has(reason)),
    reasons,
    until: capped && row !== null ? row.dayEndsAt : paced ? nextSendAt : null,
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
