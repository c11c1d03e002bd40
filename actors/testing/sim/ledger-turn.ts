import type {
  Adoption,
  EpochPair,
  IntentItem,
  IntentVerdict,
  OverdueAttempt,
  ResultItem,
  ResultOutcome,
} from '../../../schema/sql/index.ts';
import { IN_FLIGHT, isOpen, type MessageRowModel, type OwnershipRowModel, place, rankOf, type Tables } from './ledger-rows.ts';

/**
 * The statements of a turn (intent.sql, result.sql, bump-epochs.sql, adopt.sql, last-ended.sql) over the simulated tables. Each is one step:
 * the real ones lock ownership rows first and read them as last committed, so they come to the same. `now`: wall ms of the server.
 */

const DAY_MS = 86_400_000;
/** days since 1970, UTC */
const dayOf = (wallMs: number): number => Math.floor(wallMs / DAY_MS);

function judgeIntent(
  tables: Tables,
  item: IntentItem,
  owner: OwnershipRowModel | undefined,
  message: MessageRowModel | undefined,
  now: number,
): IntentVerdict['verdict'] {
  const device = tables.devices.get(item.deviceId);
  if (owner === undefined) return 'FENCED';
  if (owner.epoch !== item.epoch) return 'FENCED'; // fence
  if (message === undefined || !isOpen(message.state)) return 'ENDED';
  if (message.seq === null || (item.seq !== undefined && message.seq !== item.seq)) return 'ENDED';
  if (device === undefined || device.deleted) return 'DELETED';
  if (device.quarantined) return 'QUARANTINED';
  if (message.state === 'SENDING' || message.state === 'WRITTEN') return 'UNKNOWN_OUTCOME';
  if (message.state === 'UNKNOWN' && !item.resendUnknown) return 'UNKNOWN_OUTCOME';
  if (device.paused) return 'PAUSED';
  if (tables.suppressed.has(`${message.tenantId} ${message.recipient}`)) return 'SUPPRESSED';
  if (message.attempt - message.budgetFrom >= item.budget) return 'DEAD';
  if (message.dueAt > now) return 'NOT_DUE';
  if (device.dailyCap !== null && owner.day === dayOf(now) && owner.daySent >= device.dailyCap) return 'CAPPED';
  if (owner.nextSendAt > now) return 'PACED';
  return 'PASS';
}

function carryOutIntent(
  tables: Tables,
  item: IntentItem,
  owner: OwnershipRowModel,
  message: MessageRowModel,
  verdict: 'PASS' | 'SUPPRESSED' | 'DEAD',
  now: number,
): void {
  owner.lastMessageId = message.id;
  message.epoch = item.epoch;
  message.node = item.node;
  if (verdict === 'PASS') {
    owner.nextSendAt = now + item.paceMs;
    owner.daySent = owner.day === dayOf(now) ? owner.daySent + 1 : 1;
    owner.day = dayOf(now);
    message.attempt += 1;
    message.intentAt = now;
    message.endedAt = null;
    message.cause = null;
    place(tables, message, 'SENDING');
    return;
  }
  owner.ended += 1;
  message.endedAt = now;
  message.cause = verdict === 'DEAD' ? 'RETRY_BUDGET' : 'RECIPIENT_SUPPRESSED';
  place(tables, message, verdict);
  if (verdict === 'DEAD') tables.letters.set(message.id, { messageId: message.id, redriven: false });
}

export function intentModel(tables: Tables, items: readonly IntentItem[], now: number): IntentVerdict[] {
  return items.map((item): IntentVerdict => {
    const owner = tables.ownership.get(item.deviceId);
    const found = tables.messages.get(item.messageId);
    const message = found?.deviceId === item.deviceId ? found : undefined;
    const verdict = judgeIntent(tables, item, owner, message, now);
    const was = message?.state ?? null;
    switch (verdict) {
      case 'PASS':
      case 'SUPPRESSED':
      case 'DEAD': {
        if (owner === undefined || message === undefined) return { verdict: 'FENCED' };
        carryOutIntent(tables, item, owner, message, verdict, now);
        const { tenantId, attempt } = message;
        if (verdict !== 'PASS') return { verdict, tenantId, attempt, cause: message.cause ?? '' };
        const { id, lane, recipient, body, traceparent } = message;
        const createdAt = Math.floor(message.createdAt);
        return {
          verdict,
          message: {
            id,
            tenantId,
            lane,
            seq: message.seq ?? 0,
            attempt,
            recipient,
            recipientLid: null,
            body,
            content: null,
            traceparent,
            createdAt,
          },
        };
      }
      case 'PACED':
        return { verdict, until: Math.ceil(owner?.nextSendAt ?? 0), now: Math.floor(now) };
      case 'CAPPED':
        return { verdict, until: (dayOf(now) + 1) * DAY_MS, now: Math.floor(now) };
      case 'NOT_DUE':
        return { verdict, until: Math.ceil(message?.dueAt ?? 0), now: Math.floor(now) };
      case 'UNKNOWN_OUTCOME':
        return {
          verdict,
          since: Math.ceil(message?.intentAt ?? now),
          now: Math.floor(now),
          attempt: message?.attempt ?? 0,
          state: was ?? 'UNKNOWN',
        };
      case 'ENDED':
        return { verdict, state: was };
      case 'UNPLANNED':
        throw new Error('simulated worlds have no flows');
      case 'HELD':
      case 'QUIET':
      case 'COLD':
        throw new Error('in simulated worlds nobody is restricted by provider or settings');
      default:
        return { verdict };
    }
  });
}

const STRENGTH: Readonly<Record<ResultItem['state'], number>> = {
  READ: 8,
  DELIVERED: 7,
  SENT: 6,
  DEAD: 5,
  FAILED: 4,
  QUEUED: 3,
  UNKNOWN: 2,
  WRITTEN: 1,
};
const isProof = (state: ResultItem['state']): boolean => STRENGTH[state] >= STRENGTH.SENT;

function isValid(item: ResultItem, message: MessageRowModel | undefined): boolean {
  if (message === undefined) return false;
  if (isProof(item.state)) return rankOf(item.state) > rankOf(message.state);
  if (message.epoch !== item.epoch || message.attempt !== item.attempt) return false; // fence
  if (!IN_FLIGHT.has(message.state)) return false;
  return item.state === 'QUEUED' || rankOf(item.state) > rankOf(message.state);
}

export function resultModel(tables: Tables, items: readonly ResultItem[], now: number): ResultOutcome[] {
  const judged = items.map((item) => {
    const found = tables.messages.get(item.messageId);
    const message = found?.deviceId === item.deviceId ? found : undefined;
    return { item, message, valid: isValid(item, message) };
  });
  const chosen = new Map<string, (typeof judged)[number]>();
  for (const one of judged) {
    const best = chosen.get(one.item.messageId);
    if (one.valid && (best === undefined || STRENGTH[one.item.state] > STRENGTH[best.item.state])) chosen.set(one.item.messageId, one);
  }
  const said = new Set<string>();
  const outcomes = judged.map((one): ResultOutcome => {
    const { item, message, valid } = one;
    const key = `${item.messageId} ${item.state}`;
    const first = !said.has(key);
    said.add(key);
    const best = chosen.get(item.messageId);
    return {
      messageId: item.messageId,
      counted: valid && first && (isProof(item.state) || item.state === 'WRITTEN' || best === one),
      state: best?.item.state ?? message?.state ?? null,
      tenantId: message?.tenantId ?? null,
      attempt: message?.attempt ?? 0,
    };
  });
  const completed = new Set<OwnershipRowModel>();
  for (const { item, message } of chosen.values()) {
    const owner = tables.ownership.get(item.deviceId);
    if (message === undefined || owner === undefined) continue;
    const ends = rankOf(item.state) > rankOf('UNKNOWN');
    if (ends && rankOf(message.state) <= rankOf('UNKNOWN')) owner.ended += 1;
    if (item.state !== 'WRITTEN' && item.state !== 'UNKNOWN' && item.epoch === owner.epoch) completed.add(owner);
    if (item.state === 'QUEUED') message.dueAt = now + Math.max(0, (item.dueAt ?? item.at) - item.at);
    message.endedAt = ends ? (message.endedAt ?? item.at) : null;
    message.cause = isProof(item.state) ? null : item.cause;
    message.lastError = item.error ?? message.lastError;
    place(tables, message, item.state);
    if (item.state === 'FAILED' || item.state === 'DEAD') tables.letters.set(message.id, { messageId: message.id, redriven: false });
    else if (isProof(item.state)) tables.letters.delete(message.id);
  }
  for (const owner of completed) owner.crashes = 0;
  return outcomes;
}

export function bumpModel(
  tables: Tables,
  pairs: readonly (EpochPair & { readonly crash: boolean })[],
  node: string,
): { deviceId: string; epoch: number; crashes: number }[] {
  const won: { deviceId: string; epoch: number; crashes: number }[] = [];
  for (const { deviceId, epoch, crash } of pairs) {
    const owner = tables.ownership.get(deviceId);
    if (owner === undefined) continue;
    if (owner.epoch !== epoch) continue; // compare
    const inTurn = [...(tables.inFlight.get(deviceId) ?? [])].some(
      (message) => message.state === 'SENDING' && message.epoch === epoch, // its own turn
    );
    owner.epoch += 1;
    owner.node = node;
    if (crash && inTurn) owner.crashes += 1;
    won.push({ deviceId, epoch: owner.epoch, crashes: owner.crashes });
  }
  return won;
}

const inherited = ({ deviceId, lane, seq, id, tenantId, state, attempt }: MessageRowModel) => ({
  deviceId,
  lane,
  seq,
  id,
  tenantId,
  state,
  attempt,
});

export function adoptModel(tables: Tables, pairs: readonly EpochPair[]): Adoption['adopted'] {
  return pairs.flatMap(({ deviceId, epoch }) => {
    if (tables.ownership.get(deviceId)?.epoch !== epoch) return []; // fence
    const open = [...(tables.inFlight.get(deviceId) ?? [])].filter((message) => message.epoch !== null && message.epoch < epoch);
    return open.map((message) => {
      message.epoch = epoch;
      place(tables, message, 'UNKNOWN');
      return { ...inherited(message), intentAt: Math.floor(message.intentAt ?? 0) };
    });
  });
}

export function lastEndedModel(tables: Tables, deviceIds: readonly string[]): Adoption['ended'] {
  return deviceIds.flatMap((deviceId) => {
    const message = tables.messages.get(tables.ownership.get(deviceId)?.lastMessageId ?? '');
    if (message === undefined || message.endedAt === null) return [];
    return [{ ...inherited(message), cause: message.cause, endedAt: Math.floor(message.endedAt) }];
  });
}

export function overdueModel(tables: Tables, deviceIds: readonly string[], olderThanMs: number, now: number): OverdueAttempt[] {
  return deviceIds.flatMap((deviceId) =>
    [...(tables.inFlight.get(deviceId) ?? [])]
      .filter((message) => message.intentAt !== null && message.intentAt < now - olderThanMs)
      .map(({ id, tenantId, epoch, attempt }) => ({ id, deviceId, tenantId, epoch: epoch ?? 0, attempt })),
  );
}
