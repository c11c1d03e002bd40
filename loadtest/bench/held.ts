import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPostgres, type Sql } from '../../ops/connect/index.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
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

/**
 * `npm run bench -- held [--devices N] [--seconds N] [--rounds N]`: claims a second with and without a transaction that somebody holds open, in turns. A claim is the whole
 * life of a message in the ledger: accepted, refilled, its intent, its result; batches of one message for each device, reports folded meanwhile. Each arm
 * has a data base of its own on one Postgres on disk with fsync and lasts `seconds` (60; the figure to keep is for 600); compared are whole arms and their last
 * quarters. Not measured: Redis, nodes, a network.
 */
const KEPT = 0.9;
const FOLD_MS = 15_000;
const DAYS_AHEAD = 1;

interface Arm {
  /** claims a second over the whole arm, and over its last quarter */
  readonly rate: number;
  readonly late: number;
}

async function population(sql: Sql, count: number): Promise<{ readonly tenantId: string; readonly epochs: ReadonlyMap<string, number> }> {
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
  return { tenantId, epochs: new Map(won.map(({ deviceId, epoch }) => [deviceId, epoch])) };
}

/** One message of every device from beginning to end; returns how many were claimed. */
async function turn(sql: Sql, tenantId: string, epochs: ReadonlyMap<string, number>, reached: Map<string, number>): Promise<number> {
  const devices = [...epochs.keys()];
  await accept(
    sql,
    devices.map((deviceId) => ({
      id: uuidV7(clock.wall()),
      tenantId,
      deviceId,
      lane: 'high',
      recipient: '+491510000001',
      body: 'x'.repeat(160),
      idempotencyKey: null,
      contentHash: new Uint8Array(32),
      scheduledAt: null,
      traceparent: null,
    })),
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
  return outcomes.length;
}

async function play(databaseUrl: string, held: boolean, devices: number, seconds: number): Promise<Arm> {
  const sql = connectPostgres(databaseUrl, { applicationName: 'bench', max: 4, statementTimeoutMs: 0 });
  const somebody = connectPostgres(databaseUrl, { applicationName: 'somebody', max: 1, statementTimeoutMs: 0 });
  const over = new AbortController();
  let holding: Promise<unknown> = Promise.resolve();
  try {
    const { tenantId, epochs } = await population(sql, devices);
    const reached = new Map<string, number>();
    await turn(sql, tenantId, epochs, reached);
    if (held) {
      await somebody.unsafe('set idle_in_transaction_session_timeout = 0');
      holding = somebody.begin('isolation level repeatable read', async (transaction) => {
        await transaction.unsafe('select count(*) from ownership');
        while (!over.signal.aborted) await clock.sleep(100);
      });
    }
    const began = clock.monotonic();
    const end = began + seconds * 1000;
    let [claims, late, foldAt] = [0, 0, began + FOLD_MS];
    for (let now = began; now < end; now = clock.monotonic()) {
      const count = await turn(sql, tenantId, epochs, reached);
      claims += count;
      if (now >= end - seconds * 250) late += count;
      if (now >= foldAt) {
        await foldReports(sql);
        foldAt = now + FOLD_MS;
      }
    }
    const took = (clock.monotonic() - began) / 1000;
    return { rate: Math.round(claims / took), late: Math.round(late / (took - seconds * 0.75)) };
  } finally {
    over.abort();
    await holding;
    await somebody.end({ timeout: 2 });
    await sql.end({ timeout: 2 });
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

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
  const arms: Record<'free' | 'held', Arm[]> = { free: [], held: [] };
  const general = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 1, statementTimeoutMs: 0 });
  try {
    for (let round = 0; round < rounds; round++) {
      for (const name of ['free', 'held'] as const) {
        const database = `${name}_${round}`;
        await general.unsafe(`create database ${database}`);
        const url = new URL(stack.databaseUrl);
        url.pathname = `/${database}`;
        const arm = await play(url.href, name === 'held', devices, seconds);
        arms[name].push(arm);
        say(`round ${round + 1} · ${name} · ${arm.rate} claims/s · last quarter ${arm.late}`);
        await general.unsafe(`drop database ${database}`);
      }
    }
  } finally {
    await general.end({ timeout: 2 });
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
  const [free, kept] = [arms.free, arms.held].map((list) => ({
    rate: median(list.map(({ rate }) => rate)),
    late: median(list.map(({ late }) => late)),
  })) as [Arm, Arm];
  const share = (part: number, whole: number): number => Math.round((part / Math.max(1, whole)) * 100) / 100;
  const figures = {
    devices: devices,
    'seconds held': seconds,
    'claims/s free': free.rate,
    'claims/s held': kept.rate,
    kept: share(kept.rate, free.rate),
    'kept in the last quarter': share(kept.late, free.late),
  };
  return {
    name: 'bench-held',
    ok: figures.kept >= KEPT && figures['kept in the last quarter'] >= KEPT,
    figures,
    targets: { kept: `>= ${KEPT}`, 'kept in the last quarter': `>= ${KEPT}` },
    command: `npm run bench -- held --seconds ${seconds} --rounds ${rounds}`,
  };
};
