import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantile } from '../../actors/testing/checker/index.ts';
import { connectPostgres, type Sql } from '../../ops/connect/index.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import type { RunResult } from '../../ops/report/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { migrate } from '../../schema/migrations/index.ts';
import {
  accept,
  bumpEpochs,
  createDevices,
  createTenant,
  ensurePartitions,
  foldReports,
  intent,
  refill,
  result,
} from '../../schema/sql/index.ts';
import type { Bench } from './main.ts';
import { plainText } from './plain-text.ts';
import { between, spent } from './spent.ts';

/**
 * `npm run bench -- held [--devices N] [--seconds N] [--rounds N]`: claims with and without a transaction that somebody holds open, in
 * turns. A claim is the whole life of a message in the ledger: accepted, refilled, its intent, its result; reports are folded meanwhile. Each arm has a
 * data base of its own on one Postgres on disk with fsync and lasts `seconds` (60; the figure to keep is for 600). Two speeds:
 * - full: batches of one message for each of `devices`, the next as soon as the last is through; claims a second, of whole arms and of their last quarters.
 *   Rows that change with every message get versions some eighty times faster than at pace: this is the promise that is judged;
 * - pace: 3,000 devices at 20 messages a minute each, a batch every 50 ms; ms from when a batch was due until its results are committed, over the last half.
 * Not measured: Redis, nodes, a network. Beside other work it is void.
 */
const KEPT = 0.9;
const FOLD_MS = 15_000;
const DAYS_AHEAD = 1;
const PACE_PER_MS = 20 / 60_000;
const BATCH_MS = 50;
const PACE_DEVICES = 3000;

/** per cent of the machine that others may take: above it the run is void */
const OTHERS = 10;

interface Arm {
  /** claims a second over the whole arm, and over its last quarter */
  readonly rate: number;
  readonly late: number;
  /** CPU of Postgres, us a claim, over the last quarter: tells of versions even beside other work */
  readonly postgresUs: number;
  readonly othersPercent: number;
}

interface PacedArm {
  readonly rate: number;
  /** ms from when a batch was due until its results */
  readonly p50: number;
  readonly p99: number;
}

/** The devices of an arm and what is known of them. */
interface Fleet {
  readonly sql: Sql;
  readonly tenantId: string;
  readonly epochs: ReadonlyMap<string, number>;
  readonly reached: Map<string, number>;
}

async function population(sql: Sql, count: number): Promise<Fleet> {
  await migrate(sql);
  await ensurePartitions(sql, { nowMs: clock.wall(), aheadDays: DAYS_AHEAD });
  const tenantId = uuidV7(clock.wall());
  await createTenant(sql, { id: tenantId, name: 'bench' });
  const rows = Array.from({ length: count }, () => {
    const id = uuidV7(clock.wall());
    return { id, tenantId, name: id, transport: 'simulator' as const, paceMinMs: 0, paceMaxMs: 0 };
  });
  await createDevices(sql, rows);
  const won = await bumpEpochs(
    sql,
    rows.map(({ id }) => ({ deviceId: id, epoch: 0, crash: false })),
    'bench',
  );
  return { sql, tenantId, epochs: new Map(won.map(({ deviceId, epoch }) => [deviceId, epoch])), reached: new Map() };
}

/** One message of each of these devices from beginning to end. */
async function turn({ sql, tenantId, epochs, reached }: Fleet, devices: readonly string[]): Promise<void> {
  await accept(
    sql,
    devices.map((deviceId) =>
      plainText({ id: uuidV7(clock.wall()), tenantId, deviceId, recipient: '+491510000001', body: 'x'.repeat(160) }),
    ),
  );
  const entries = await refill(
    sql,
    devices.map((deviceId) => ({ deviceId, lane: 'high', afterSeq: reached.get(deviceId) ?? 0 })),
    50,
  );
  const claims = entries.map(({ deviceId, messageId }) => ({ deviceId, messageId, epoch: epochs.get(deviceId) ?? 0 }));
  const verdicts = await intent(
    sql,
    claims.map((claim) => ({ ...claim, node: 'bench', paceMs: 0, resendUnknown: false, budget: 6 })),
  );
  const at = clock.wall();
  const outcomes = await result(
    sql,
    claims.map((claim) => ({ ...claim, attempt: 1, state: 'SENT', cause: null, error: null, dueAt: null, at })),
  );
  for (const { deviceId, seq } of entries) reached.set(deviceId, seq);
  if (verdicts.some(({ verdict }) => verdict !== 'PASS') || outcomes.some(({ counted }) => !counted))
    throw new Error('a claim did not pass');
  if (outcomes.length !== devices.length) throw new Error(`claimed ${outcomes.length} messages of ${devices.length} devices`);
}

/** Plays on a fleet of its own; while it does, `held` has somebody's transaction open. */
async function inArm<T>(databaseUrl: string, held: boolean, devices: number, play: (fleet: Fleet) => Promise<T>): Promise<T> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench', max: 4, statementTimeoutMs: 0, plans: 'once' });
  const somebody = connectPostgres(databaseUrl, { applicationName: 'somebody', max: 1, statementTimeoutMs: 0 });
  const over = new AbortController();
  let holding: Promise<unknown> = Promise.resolve();
  try {
    const fleet = await population(sql, devices);
    await turn(fleet, [...fleet.epochs.keys()]);
    if (held) {
      await somebody.unsafe('set idle_in_transaction_session_timeout = 0');
      holding = somebody.begin('isolation level repeatable read', async (transaction) => {
        await transaction.unsafe('select count(*) from ownership');
        while (!over.signal.aborted) await clock.sleep(100);
      });
    }
    return await play(fleet);
  } finally {
    over.abort();
    await holding;
    await somebody.end({ timeout: 2 });
    await sql.end({ timeout: 2 });
  }
}

async function atFullSpeed(fleet: Fleet, seconds: number, postgres: number): Promise<Arm> {
  const devices = [...fleet.epochs.keys()];
  const began = clock.monotonic();
  const lateFrom = began + seconds * 750;
  const end = began + seconds * 1000;
  const look = () => spent({ postgres, bench: process.pid });
  const first = look();
  let [claims, late, foldAt, lateBegan, lateLook] = [0, 0, began + FOLD_MS, end, first];
  for (let now = began; now < end; now = clock.monotonic()) {
    if (now >= lateFrom && late === 0) [lateBegan, lateLook] = [now, look()];
    await turn(fleet, devices);
    claims += devices.length;
    if (now >= lateFrom) late += devices.length;
    if (now >= foldAt) {
      await foldReports(fleet.sql);
      foldAt = now + FOLD_MS;
    }
  }
  const over = clock.monotonic();
  const last = look();
  return {
    rate: Math.round((claims * 1000) / (over - began)),
    late: Math.round((late * 1000) / Math.max(1, over - lateBegan)),
    postgresUs: between(lateLook, last, over - lateBegan, Math.max(1, late)).us['postgres'] ?? Number.NaN,
    othersPercent: between(first, last, over - began, claims).othersPercent,
  };
}

async function atPace(fleet: Fleet, seconds: number): Promise<PacedArm> {
  const devices = [...fleet.epochs.keys()];
  const began = clock.monotonic();
  const times: number[] = [];
  let [claims, foldAt] = [0, FOLD_MS];
  for (let due = BATCH_MS; due <= seconds * 1000; due += BATCH_MS) {
    await clock.sleep(Math.max(0, began + due - clock.monotonic()));
    // each device in its turn, as many as are due by now
    const until = Math.floor(due * devices.length * PACE_PER_MS);
    const batch = Array.from({ length: until - claims }, (_, index) => devices[(claims + index) % devices.length] ?? '');
    claims = until;
    if (batch.length > 0) await turn(fleet, batch);
    if (due > seconds * 500) times.push(clock.monotonic() - began - due);
    if (due >= foldAt) {
      await foldReports(fleet.sql);
      foldAt += FOLD_MS;
    }
  }
  const took = clock.monotonic() - began;
  times.sort((a, b) => a - b);
  const ms = (share: number): number => Math.round((quantile(times, share) ?? Number.NaN) * 10) / 10;
  return { rate: Math.round((claims * 1000) / took), p50: ms(0.5), p99: ms(0.99) };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

type Arms<Of> = Record<'free' | 'held', Of[]>;

/** Figures, targets and whether they hold: full speed is judged, pace is told. */
function judged(full: Arms<Arm>, paced: Arms<PacedArm>): Pick<RunResult, 'ok' | 'figures' | 'targets'> {
  const of = <Of>(arms: readonly Of[], pick: (arm: Of) => number): number => median(arms.map(pick));
  const share = (pick: (arm: Arm) => number): number => Math.round((of(full.held, pick) / Math.max(1, of(full.free, pick))) * 100) / 100;
  const [kept, late] = [share((arm) => arm.rate), share((arm) => arm.late)];
  const others = Math.max(...[...full.free, ...full.held].map((arm) => arm.othersPercent));
  const figures = {
    'claims/s free': of(full.free, (arm) => arm.rate),
    'claims/s held': of(full.held, (arm) => arm.rate),
    kept,
    'kept in the last quarter': late,
    'Postgres us a claim, last quarter, free': of(full.free, (arm) => arm.postgresUs),
    'Postgres us a claim, last quarter, held': of(full.held, (arm) => arm.postgresUs),
    'others %': others,
    'at pace, claims/s': of(paced.held, (arm) => arm.rate),
    'at pace, free: p50 ms': of(paced.free, (arm) => arm.p50),
    'at pace, held: p50 ms': of(paced.held, (arm) => arm.p50),
    'at pace, free: p99 ms': of(paced.free, (arm) => arm.p99),
    'at pace, held: p99 ms': of(paced.held, (arm) => arm.p99),
  };
  const targets = { kept: `>= ${KEPT}`, 'kept in the last quarter': `>= ${KEPT}`, 'others %': `<= ${OTHERS}` };
  return { ok: kept >= KEPT && late >= KEPT && others <= OTHERS, figures, targets };
}

export const held: Bench = async (say, parts) => {
  const size = (name: string, fallback: number): number => {
    const at = parts.indexOf(name);
    const value = at < 0 ? fallback : Number(parts[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`${name}: expected a whole number of 1 or more`);
    return value;
  };
  const [devices, seconds, rounds] = [size('devices', 500), size('seconds', 60), size('rounds', 1)];
  const work = mkdtempSync(join(tmpdir(), 'flotilla-held-'));
  const stack = await startStack({ dataDir: work, nodes: 0, gateways: 0, phones: false, durable: true });
  const full: Arms<Arm> = { free: [], held: [] };
  const paced: Arms<PacedArm> = { free: [], held: [] };
  const general = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 1, statementTimeoutMs: 0 });
  const inDatabase = async <T>(name: string, run: (url: string) => Promise<T>): Promise<T> => {
    await general.unsafe(`create database ${name}`);
    const url = new URL(stack.databaseUrl);
    url.pathname = `/${name}`;
    const done = await run(url.href);
    await general.unsafe(`drop database ${name}`);
    return done;
  };
  const postgres = stack.postgres?.pid ?? 0;
  try {
    for (let round = 0; round < rounds; round++) {
      for (const name of ['free', 'held'] as const) {
        const arm = await inDatabase(`full_${name}_${round}`, (url) =>
          inArm(url, name === 'held', devices, (fleet) => atFullSpeed(fleet, seconds, postgres)),
        );
        full[name].push(arm);
        const cost = `last quarter ${arm.late}, ${arm.postgresUs} us of Postgres a claim · others ${arm.othersPercent} %`;
        say(`round ${round + 1} · ${name} · full speed · ${arm.rate} claims/s · ${cost}`);
        const calm = await inDatabase(`pace_${name}_${round}`, (url) =>
          inArm(url, name === 'held', PACE_DEVICES, (fleet) => atPace(fleet, seconds)),
        );
        paced[name].push(calm);
        say(`round ${round + 1} · ${name} · at pace · ${calm.rate} claims/s · p50 ${calm.p50} ms · p99 ${calm.p99} ms`);
      }
    }
  } finally {
    await general.end({ timeout: 2 });
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
  const { ok, figures, targets } = judged(full, paced);
  return {
    name: 'bench-held',
    ok,
    figures: { devices, 'seconds held': seconds, ...figures },
    targets,
    command: `npm run bench -- held --devices ${devices} --seconds ${seconds} --rounds ${rounds}`,
  };
};
