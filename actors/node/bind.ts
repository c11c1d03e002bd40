import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import {
  addTraffic,
  adopt,
  changedDevices,
  dropEndedPartitions,
  ensurePartitions,
  goOnErasing,
  intent,
  liftOptOuts,
  loadDevices,
  loadOptWords,
  nextSeqs,
  overdue,
  promoteDue,
  purge,
  refill,
  result,
  setPaired,
  setPaused,
  setQuarantine,
  storeInbound,
  suppress,
} from '../../schema/sql/index.ts';
import type { Statements } from './statements.ts';

const DAY_MS = 86_400_000;
/** Of one purge, an hour: 5 million rows of a kind, in statements of some 50 ms with rests between. Guess. */
const PURGE = { chunk: 5000, chunks: 1000 } as const;
/** reports of imported files, redrives */
const REPORTS_DAYS = 90;
const WEBHOOK_DAYS = 7;
/** the longest time that a cap for recipients may speak of */
const RECIPIENTS_DAYS = 90;
const PURGE_REST_MS = 50;

/** How many days things are kept. */
export interface Keeping {
  /** daily partitions made ahead */
  readonly aheadDays: number;
  /** ledger partitions in which all has ended */
  readonly retentionDays: number;
  /** idempotency keys */
  readonly keysDays: number;
  /** inbound messages */
  readonly inboundDays: number;
  /** what was told to webhooks */
  readonly webhookDays?: number;
}

/** The statements of schema/sql on one pool. */
export function ledgerStatements(sql: Sql, clock: Clock, options: Keeping): Statements {
  return {
    turn: {
      intent: (items) => intent(sql, items),
      result: (items) => result(sql, items),
      adopt: (pairs) => adopt(sql, pairs),
      overdue: (ids, olderThanMs) => overdue(sql, ids, olderThanMs),
      ping: () => sql.unsafe('select 1'),
    },
    window: {
      refill: (asks, limit) => refill(sql, asks, limit),
      nextSeqs: (ids) => nextSeqs(sql, ids),
      promoteDue: (limit) => promoteDue(sql, limit),
    },
    device: {
      loadDevices: (ids) => loadDevices(sql, ids),
      changedDevices: (since) => changedDevices(sql, since),
      setPaired: (deviceId) => setPaired(sql, deviceId, true),
      setQuarantine: (deviceId, reason) => setQuarantine(sql, deviceId, reason),
      pause: (tenantId, deviceId, reason) => setPaused(sql, tenantId, deviceId, true, reason),
      storeInbound: (items) => storeInbound(sql, items),
      suppress: (items) => suppress(sql, items),
      loadOptWords: (ids) => loadOptWords(sql, ids),
      liftOptOuts: (items) => liftOptOuts(sql, items),
    },
    upkeep: {
      addTraffic: (rows) => addTraffic(sql, rows),
      async partitions() {
        await ensurePartitions(sql, { nowMs: clock.wall(), aheadDays: options.aheadDays });
        await dropEndedPartitions(sql, { beforeMs: clock.wall() - options.retentionDays * DAY_MS });
        await goOnErasing(sql, () => clock.sleep(PURGE_REST_MS));
        await purge(sql, {
          ...PURGE,
          keysBeforeMs: clock.wall() - options.keysDays * DAY_MS,
          inboundBeforeMs: clock.wall() - options.inboundDays * DAY_MS,
          importsBeforeMs: clock.wall() - REPORTS_DAYS * DAY_MS,
          webhooksBeforeMs: clock.wall() - (options.webhookDays ?? WEBHOOK_DAYS) * DAY_MS,
          recipientsBeforeMs: clock.wall() - RECIPIENTS_DAYS * DAY_MS,
          redrivesBeforeMs: clock.wall() - REPORTS_DAYS * DAY_MS,
          pause: () => clock.sleep(PURGE_REST_MS),
        });
      },
    },
  };
}
