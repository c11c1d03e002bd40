import { LANES } from '../../../schema/domain/index.ts';
import type { AcceptItem, AcceptOutcome, NextSeq, RefillAsk, RefillEntry } from '../../../schema/sql/index.ts';
import { type LaneCounter, laneNumber, type MessageRowModel, place, type Tables } from './ledger-rows.ts';

/** The statements that put messages into lanes and read them (accept, refill, next-seqs, promote-due, cancel, redrive .sql) over the simulated tables. */

const counterOf = (tables: Tables, message: Pick<MessageRowModel, 'deviceId' | 'lane'>): LaneCounter =>
  (tables.lanes.get(message.deviceId) as readonly LaneCounter[])[laneNumber(message.lane)] as LaneCounter;
const entryOf = ({ deviceId, lane, seq, id, traceparent }: MessageRowModel): RefillEntry => ({
  deviceId,
  lane,
  seq: seq ?? 0,
  messageId: id,
  traceparent,
});

export function acceptModel(tables: Tables, items: readonly AcceptItem[], now: number): AcceptOutcome[] {
  const before = new Map<string, number>();
  const keyed = new Set<string>();
  const known = new Map(tables.keys);
  return items.map((item): AcceptOutcome => {
    const device = tables.devices.get(item.deviceId);
    if (device === undefined || device.deleted || device.tenantId !== item.tenantId) return { kind: 'rejected', code: 'DEVICE_NOT_FOUND' };
    const key = item.idempotencyKey === null ? undefined : `${item.tenantId} ${item.idempotencyKey}`;
    const content = Buffer.from(item.contentHash).toString('hex');
    const earlier = key === undefined ? undefined : known.get(key);
    if (earlier?.content === content) return { kind: 'replayed', id: earlier.messageId };
    if (earlier !== undefined) return { kind: 'rejected', code: 'IDEMPOTENCY_KEY_REUSED' };
    if (tables.suppressed.has(`${item.tenantId} ${item.recipient}`)) return { kind: 'rejected', code: 'RECIPIENT_SUPPRESSED' };
    if (key !== undefined && keyed.has(key)) return { kind: 'again' };
    if (key !== undefined) keyed.add(key);
    const ended = tables.ownership.get(item.deviceId)?.ended ?? 0;
    if (!before.has(item.deviceId)) {
      before.set(item.deviceId, (tables.lanes.get(item.deviceId) ?? []).reduce((sum, lane) => sum + lane.accepted, 0) - ended);
    }
    // the place counts every fresh item of the device, also one that is rejected for want of room
    const backlog = (before.get(item.deviceId) ?? 0) + 1;
    before.set(item.deviceId, backlog);
    if (backlog > tables.maxBacklog) return { kind: 'rejected', code: 'BACKLOG_FULL' };
    const later = item.scheduledAt !== null && item.scheduledAt > now;
    const counter = counterOf(tables, item);
    counter.accepted += 1;
    const seq = later ? null : counter.nextSeq++;
    if (key !== undefined) tables.keys.set(key, { messageId: item.id, content });
    const row: MessageRowModel = {
      id: item.id,
      tenantId: item.tenantId,
      deviceId: item.deviceId,
      lane: item.lane,
      seq,
      state: 'QUEUED',
      attempt: 0,
      budgetFrom: 0,
      epoch: null,
      node: null,
      recipient: item.recipient,
      body: item.body,
      dueAt: later ? (item.scheduledAt ?? now) : now,
      createdAt: now,
      intentAt: null,
      endedAt: null,
      cause: null,
      lastError: null,
      traceparent: item.traceparent,
    };
    place(tables, row, 'QUEUED', seq);
    return { kind: 'accepted', id: item.id, seq, paused: device.paused };
  });
}

export function refillModel(tables: Tables, asks: readonly RefillAsk[], limit: number): RefillEntry[] {
  return asks.flatMap(({ deviceId, lane, afterSeq }) => {
    const open = tables.open.get(deviceId)?.[laneNumber(lane)] ?? [];
    return open
      .filter((message) => (message.seq ?? 0) > afterSeq)
      .slice(0, limit)
      .map(entryOf);
  });
}

export function nextSeqsModel(tables: Tables, deviceIds: readonly string[]): NextSeq[] {
  return deviceIds.flatMap((deviceId) => {
    const lanes = tables.lanes.get(deviceId) ?? [];
    const accepted = lanes.reduce((sum, lane) => sum + lane.accepted, 0);
    const hasOpen = accepted > (tables.ownership.get(deviceId)?.ended ?? 0);
    return lanes.map((lane, index) => ({ deviceId, lane: LANES[index] ?? 'normal', nextSeq: lane.nextSeq, hasOpen }));
  });
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function promoteDueModel(tables: Tables, limit: number, now: number): RefillEntry[] {
  const due = [...tables.waiting].filter((message) => message.dueAt <= now).sort((a, b) => a.dueAt - b.dueAt || byText(a.id, b.id));
  const promoted = due.slice(0, limit);
  for (const message of promoted) place(tables, message, 'QUEUED', counterOf(tables, message).nextSeq++);
  return promoted.map(entryOf).sort((a, b) => byText(a.deviceId, b.deviceId) || laneNumber(a.lane) - laneNumber(b.lane) || a.seq - b.seq);
}

/** true when this call cancelled it */
export function cancelModel(tables: Tables, messageId: string, now: number): boolean {
  const message = tables.messages.get(messageId);
  const owner = tables.ownership.get(message?.deviceId ?? '');
  if (message === undefined || owner === undefined || message.state !== 'QUEUED') return false;
  message.endedAt = now;
  message.cause = 'CANCELLED';
  place(tables, message, 'CANCELLED');
  owner.ended += 1;
  return true;
}

/** ids of the redriven */
export function redriveModel(tables: Tables, messageIds: readonly string[], now: number): string[] {
  return messageIds.filter((id) => {
    const letter = tables.letters.get(id);
    const message = tables.messages.get(id);
    const owner = tables.ownership.get(message?.deviceId ?? '');
    if (letter === undefined || letter.redriven || message === undefined || owner === undefined) return false;
    if (message.state !== 'DEAD' && message.state !== 'FAILED') return false;
    message.dueAt = now;
    message.endedAt = null;
    message.cause = null;
    message.budgetFrom = message.attempt;
    place(tables, message, 'QUEUED', null);
    letter.redriven = true;
    owner.ended -= 1;
    return true;
  });
}
