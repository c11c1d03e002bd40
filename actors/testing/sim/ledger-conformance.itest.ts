import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Dice, seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../../ops/testing/index.ts';
import { LANES, uuidV7 } from '../../../schema/domain/index.ts';
import * as real from '../../../schema/sql/index.ts';
import { acceptModel, cancelModel, nextSeqsModel, promoteDueModel, redriveModel, refillModel } from './ledger-lanes.ts';
import { addDevice, changeDevice, createTables, type Tables } from './ledger-rows.ts';
import { adoptModel, bumpModel, intentModel, lastEndedModel, overdueModel, resultModel } from './ledger-turn.ts';

/**
 * The simulated ledger against a real Postgres: the same random statements to both, the same answers and, at the end, the same rows.
 * Whether something is due is never a matter of moments here (an hour ago or in an hour), and times in answers may differ by a minute,
 * because the two have a clock each.
 */
const SEEDS = 5;
const STEPS = 120;
const HOUR_MS = 3_600_000;
const APART_MS = 60_000;
const MAX_BACKLOG = 14;

/** A step: what the real ledger and the model say. */
type Step = () => Promise<readonly [expected: unknown, answer: unknown]>;

/** Equal, but for times that are a little apart. */
function alike(expected: unknown, answer: unknown): unknown {
  if (typeof expected === 'number' && typeof answer === 'number' && expected > 1e12)
    return Math.abs(expected - answer) < APART_MS ? expected : answer;
  if (Array.isArray(expected) && Array.isArray(answer)) return answer.map((one, index) => alike(expected[index], one));
  if (typeof expected !== 'object' || typeof answer !== 'object' || expected === null || answer === null) return answer;
  const wanted = expected as Record<string, unknown>;
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, alike(wanted[name], value)]));
}
const sorted = <T>(rows: readonly T[], ...names: (keyof T)[]): T[] => {
  const textOf = (row: T): string => names.map((name) => String(row[name])).join(' ');
  return [...rows].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
};

async function makePlace(database: TestDatabase) {
  const { sql } = database;
  const tenantId = uuidV7(systemClock.wall());
  await real.createTenant(sql, { id: tenantId, name: tenantId, maxBacklog: MAX_BACKLOG });
  const rows = await real.createDevices(
    sql,
    [null, 4, null].map((dailyCap) => {
      const id = uuidV7(systemClock.wall());
      return { id, tenantId, name: id, transport: 'simulator' as const, paceMinMs: 0, paceMaxMs: 0, dailyCap };
    }),
  );
  const tables = createTables();
  tables.maxBacklog = MAX_BACKLOG;
  for (const row of rows) addDevice(tables, row);
  return { sql, tenantId, tables, devices: rows.map((row) => row.id) };
}
type Place = Awaited<ReturnType<typeof makePlace>>;

function makeSteps({ sql, tenantId, tables, devices }: Place, dice: Dice): () => Step {
  const below = (limit: number): number => Math.floor(dice.next() * limit);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const chance = (share: number): boolean => dice.next() < share;
  const ids: string[] = [];
  let later = 0;
  let last = 0;
  /** rises with every statement, as the server's clock does */
  const now = (): number => {
    last = Math.max(last + 0.01, systemClock.wall());
    return last;
  };
  const epochOf = (deviceId: string): number => {
    const epoch = tables.ownership.get(deviceId)?.epoch ?? 0;
    return chance(0.85) ? epoch : Math.max(0, epoch + pick([-1, 1]));
  };
  /** mostly one that has not ended; a stranger now and then */
  const message = (): string => {
    if (ids.length === 0 || chance(0.02)) return uuidV7(systemClock.wall());
    const open = [...tables.open.values()].flat(2);
    return open.length > 0 && chance(0.8) ? pick(open).id : pick(ids);
  };
  const subset = (): string[] => devices.filter(() => chance(0.6));

  const accept: Step = async () => {
    const items: real.AcceptItem[] = Array.from({ length: 1 + below(4) }, () => ({
      id: uuidV7(systemClock.wall()),
      tenantId,
      deviceId: chance(0.97) ? pick(devices) : tenantId,
      lane: pick(LANES),
      recipient: pick(['+4915110000001', '+4915110000002', '+4915110000003', '+4915110000004']),
      body: 'hello',
      idempotencyKey: chance(0.3) ? `key ${below(6)}` : null,
      contentHash: Buffer.from([below(2)]),
      scheduledAt: chance(0.2) ? Math.floor(systemClock.wall()) + HOUR_MS + ++later : null,
      traceparent: chance(0.2) ? '00-trace' : null,
    }));
    const expected = await real.accept(sql, items);
    for (const outcome of expected) if (outcome.kind === 'accepted') ids.push(outcome.id);
    return [expected, acceptModel(tables, items, now())];
  };
  const bump: Step = async () => {
    const pairs = subset().map((deviceId) => ({ deviceId, epoch: epochOf(deviceId), crash: chance(0.5) }));
    const node = pick(['node-1', 'node-2']);
    return [sorted(await real.bumpEpochs(sql, pairs, node), 'deviceId'), sorted(bumpModel(tables, pairs, node), 'deviceId')];
  };
  const adopt: Step = async () => {
    const pairs = subset().map((deviceId) => ({ deviceId, epoch: epochOf(deviceId) }));
    const expected = await real.adopt(sql, pairs);
    const adopted = adoptModel(tables, pairs);
    const ended = lastEndedModel(
      tables,
      pairs.map((pair) => pair.deviceId),
    );
    return [
      [sorted(expected.adopted, 'id'), sorted(expected.ended, 'id')],
      [sorted(adopted, 'id'), sorted(ended, 'id')],
    ];
  };
  const intent: Step = async () => {
    const items = subset().map((deviceId): real.IntentItem => {
      const open = [...(tables.open.get(deviceId) ?? [])].flat();
      const one = open.length > 0 && chance(0.8) ? pick(open) : undefined;
      const seq = chance(0.5) ? (one?.seq ?? below(5)) : undefined;
      return {
        deviceId,
        epoch: epochOf(deviceId),
        node: pick(['node-1', 'node-2']),
        messageId: one?.id ?? message(),
        paceMs: chance(0.1) ? HOUR_MS : 0,
        resendUnknown: chance(0.5),
        budget: 3,
        ...(seq === undefined ? {} : { seq }),
      };
    });
    return [await real.intent(sql, items), intentModel(tables, items, now())];
  };
  const result: Step = async () => {
    const flying = [...tables.inFlight.values()].flatMap((rows) => [...rows].map((row) => row.id));
    const items = Array.from({ length: 1 + below(4) }, (): real.ResultItem => {
      const messageId = flying.length > 0 && chance(0.8) ? pick(flying) : message();
      const row = tables.messages.get(messageId);
      const deviceId = chance(0.97) ? (row?.deviceId ?? pick(devices)) : pick(devices);
      const state = pick(['QUEUED', 'WRITTEN', 'UNKNOWN', 'FAILED', 'DEAD', 'SENT', 'SENT', 'DELIVERED', 'READ'] as const);
      const at = Math.floor(systemClock.wall());
      return {
        messageId,
        deviceId,
        epoch: chance(0.9) ? (row?.epoch ?? 0) : epochOf(deviceId),
        attempt: Math.max(0, (row?.attempt ?? 1) + (chance(0.9) ? 0 : pick([-1, 1]))),
        state,
        cause: state === 'FAILED' || state === 'DEAD' ? pick(['REJECTED', 'RETRY_BUDGET']) : null,
        error: chance(0.3) ? 'busy' : null,
        dueAt: state === 'QUEUED' ? at + (chance(0.3) ? HOUR_MS : 0) : null,
        at,
      };
    });
    return [await real.result(sql, items), resultModel(tables, items, now())];
  };
  const read: Step = async () => {
    const asks = subset().map((deviceId) => ({ deviceId, lane: pick(LANES), afterSeq: below(6) }));
    const limit = 1 + below(4);
    const [some, olderThanMs] = [subset(), pick([HOUR_MS, -HOUR_MS])];
    const expected = [
      await real.refill(sql, asks, limit),
      sorted(await real.nextSeqs(sql, some), 'deviceId', 'lane'),
      sorted(await real.overdue(sql, some, olderThanMs), 'id'),
    ];
    const answer = [
      refillModel(tables, asks, limit),
      sorted(nextSeqsModel(tables, some), 'deviceId', 'lane'),
      sorted(overdueModel(tables, some, olderThanMs, now()), 'id'),
    ];
    return [expected, answer];
  };
  const promote: Step = async () => [await real.promoteDue(sql, 500), promoteDueModel(tables, 500, now())];
  const cancel: Step = async () => {
    const id = message();
    return [(await real.cancel(sql, tenantId, id)).kind === 'cancelled', cancelModel(tables, id, now())];
  };
  const redrive: Step = async () => {
    const letters = [...tables.letters.keys()];
    const id = letters.length > 0 && chance(0.9) ? pick(letters) : message();
    const rows = await real.redrive(sql, tenantId, [id], 1);
    return [rows.map((row) => row.messageId), redriveModel(tables, [id], now())];
  };
  const operate: Step = async () => {
    const deviceId = pick(devices);
    const paused = chance(0.4);
    await real.setPaused(sql, tenantId, deviceId, paused, paused ? 'OPERATOR' : null);
    changeDevice(tables, deviceId, { paused, pauseReason: paused ? 'OPERATOR' : null }, now());
    const other = pick(devices);
    if (chance(0.3)) {
      await real.setQuarantine(sql, other, 'CRASHES');
      changeDevice(tables, other, { quarantined: true, quarantineReason: 'CRASHES' }, now());
    } else {
      await real.releaseDevice(sql, tenantId, other);
      const owner = tables.ownership.get(other);
      if (owner !== undefined) owner.crashes = 0;
      changeDevice(tables, other, { quarantined: false, quarantineReason: null }, now());
    }
    return [null, null];
  };
  /** an hour that was waited for is over */
  const wait: Step = async () => {
    await sql.unsafe(`update messages set due_at = due_at - interval '2 hours' where due_at > now()`);
    await sql.unsafe(`update ownership set next_send_at = next_send_at - interval '2 hours' where next_send_at > now()`);
    const time = now();
    for (const row of tables.messages.values()) if (row.dueAt > time) row.dueAt -= 2 * HOUR_MS;
    for (const row of tables.ownership.values()) if (row.nextSendAt > time) row.nextSendAt -= 2 * HOUR_MS;
    return [null, null];
  };
  const suppress: Step = async () => {
    const phone = pick(['+4915110000003', '+4915110000004']);
    await real.suppress(sql, [{ id: uuidV7(systemClock.wall()), tenantId, phone, lid: null, reason: 'STOP', source: 'TEST' }]);
    tables.suppressed.add(`${tenantId} ${phone}`);
    return [null, null];
  };
  const often: readonly Step[] = [accept, accept, intent, intent, intent, intent, result, result, result, result, read];
  const seldom: readonly Step[] = [bump, bump, adopt, promote, cancel, redrive, operate, wait];
  return () => (chance(0.004) ? suppress : chance(0.65) ? pick(often) : pick(seldom));
}

/** All that both hold, but for times. */
async function rowsOfServer({ sql }: Place): Promise<unknown> {
  return {
    messages: await sql.unsafe(
      `select id, device_id, lane, seq, state, attempt, budget_from, epoch, node, cause, last_error, intent_at is null as never, ended_at is null as open
       from messages order by id`,
    ),
    owners: await sql.unsafe('select device_id, epoch, node, crashes, last_message_id, day_sent, ended from ownership order by device_id'),
    lanes: await sql.unsafe('select device_id, lane::text as lane, next_seq, accepted from lane_counters order by device_id, lane'),
    letters: await sql.unsafe('select message_id, redriven_at is not null as redriven from dead_letters order by message_id'),
  };
}
function rowsOfModel(tables: Tables): unknown {
  const owners = sorted([...tables.ownership.values()], 'deviceId');
  return {
    messages: sorted([...tables.messages.values()], 'id').map((row) => ({
      id: row.id,
      device_id: row.deviceId,
      lane: row.lane,
      seq: row.seq,
      state: row.state,
      attempt: row.attempt,
      budget_from: row.budgetFrom,
      epoch: row.epoch,
      node: row.node,
      cause: row.cause,
      last_error: row.lastError,
      never: row.intentAt === null,
      open: row.endedAt === null,
    })),
    owners: owners.map((row) => ({
      device_id: row.deviceId,
      epoch: row.epoch,
      node: row.node,
      crashes: row.crashes,
      last_message_id: row.lastMessageId,
      day_sent: row.daySent,
      ended: row.ended,
    })),
    lanes: owners.flatMap(({ deviceId }) =>
      (tables.lanes.get(deviceId) ?? []).map((lane, index) => ({
        device_id: deviceId,
        lane: LANES[index],
        next_seq: lane.nextSeq,
        accepted: lane.accepted,
      })),
    ),
    letters: sorted([...tables.letters.values()], 'messageId').map((row) => ({ message_id: row.messageId, redriven: row.redriven })),
  };
}

describe('the simulated ledger', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase();
  });
  afterAll(async () => {
    await database?.drop();
  });

  it.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'answers as the real statements do, seed %i',
    { timeout: 300_000 },
    async (seed) => {
      await database.sql.unsafe('truncate tenants cascade; truncate messages, dead_letters, idempotency_keys');
      const place = await makePlace(database);
      const next = makeSteps(place, seededDice(seed));
      const seen = new Set<string>();
      for (let step = 0; step < STEPS; step++) {
        const [expected, answer] = await next()();
        expect(alike(expected, answer), `step ${step}`).toEqual(expected);
        for (const word of JSON.stringify(expected).match(/"[A-Z_]{4,}"/g) ?? []) seen.add(word);
      }
      expect(rowsOfModel(place.tables)).toEqual(JSON.parse(JSON.stringify(await rowsOfServer(place))));
      // a run in which everything was refused proves nothing
      for (const word of ['PASS', 'FENCED', 'ENDED', 'SENT']) expect([...seen]).toContain(`"${word}"`);
    },
  );
});
