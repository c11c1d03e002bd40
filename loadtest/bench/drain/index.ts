import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Figure, type RunResult, table } from '../../../ops/report/index.ts';
import { startStack } from '../../../ops/start/index.ts';
import { faultless } from '../judge.ts';
import type { Servers } from '../stores.ts';
import { type Played, play } from './play.ts';
import { GRAPHILE, QUEUES } from './queues.ts';

/**
 * Drains the same messages through us and through queues, in turns on the same servers (Postgres with fsync, Redis with appendfsync always): each
 * round plays every arm once, every second round the other way round. One worker process each, phones simulated, no pace. What is measured goes from
 * the first arrival at a phone until the store holds nothing open. Not measured: filling, starting. An arm counts only when every message came once
 * and in its device's order and, for ours, the ledger says so. A run beside other work is void (OTHERS).
 */
const ROUNDS = 3;
const OURS = 'ours';
const FLOOR = 10_000;
/** A machine of which others take more than this (percent) says nothing about rates: the run is void, not slow. Guess. */
const OTHERS = 20;
const RATIOS: Readonly<Record<string, { readonly figure: string; readonly least: number }>> = {
  'graphile-worker': { figure: 'toGraphile', least: 1 },
  BullMQ: { figure: 'toBullmq', least: 2 },
  'pg-boss': { figure: 'toPgBoss', least: 1.5 },
};

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

interface Wanted {
  readonly messages: number;
  readonly devices: number;
  readonly rounds: number;
  readonly arms: readonly string[];
}

/** @throws Error for words that are no arm and sizes that are none */
export function wantedOf(parts: readonly string[]): Wanted {
  const sizes: Record<string, number> = { messages: 200_000, devices: 3000, rounds: ROUNDS };
  const arms: string[] = [];
  const all = [OURS, ...QUEUES.map(({ name }) => name)];
  for (let at = 0; at < parts.length; at++) {
    const word = parts[at] ?? '';
    if (word in sizes) {
      at += 1;
      const value = Number(parts[at]);
      if (!Number.isInteger(value) || value < 1) throw new Error(`--${word}: expected a whole number from 1, got "${parts[at] ?? ''}"`);
      sizes[word] = value;
    } else if (all.includes(word)) arms.push(word);
    else throw new Error(`${word}: expected ${all.join(', ')}`);
  }
  const { messages = 0, devices = 0, rounds = 0 } = sizes;
  if (messages < devices) throw new Error(`--messages: expected at least one for each of the ${devices} devices`);
  return { messages, devices, rounds, arms: arms.length === 0 ? all : all.filter((arm) => arm === OURS || arms.includes(arm)) };
}

function rowOf(round: number, arm: string, one: Played): Figure[] {
  const cpu = ['worker', 'postgres', 'redis', 'phones'].map((name) => one.cpuUs[name] ?? null);
  const fault = Number(one.lost) + one.doubled + one.disordered + one.unexpected;
  return [round, arm, one.perSecond, ...cpu, one.othersPercent, fault, one.ledgerSent];
}
const HEAD = ['round', 'arm', 'msg/s', 'worker us', 'postgres us', 'redis us', 'phones us', 'others %', 'faults', 'ledger'];

export async function drain(say: (line: string) => void, parts: readonly string[]): Promise<RunResult> {
  const { messages, devices, rounds, arms } = wantedOf(parts);
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-drain-'));
  const stack = await startStack({ dataDir: join(folder, 'servers'), nodes: 0, gateways: 0, phones: false, durable: true });
  const servers: Servers = {
    redisUrl: stack.redisUrl,
    databaseUrl: stack.databaseUrl,
    redisPid: stack.redis?.pid ?? 0,
    postgresPid: stack.postgres?.pid ?? 0,
  };
  const played = new Map<string, Played[]>(arms.map((arm) => [arm, []]));
  const rows: Figure[][] = [HEAD];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const arm of round % 2 === 1 ? arms : [...arms].reverse()) {
        const queue = QUEUES.find(({ name }) => name === arm);
        const place = join(folder, `${round}-${arm}`);
        const one = await play(queue, servers, { messages, devices }, place, `drain_${round}_${arms.indexOf(arm)}`);
        rmSync(place, { recursive: true, force: true });
        played.get(arm)?.push(one);
        const row = rowOf(round, arm, one);
        rows.push(row);
        say(row.map((value, at) => `${HEAD[at]} ${value ?? '—'}`).join(' · '));
      }
    }
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  say(table(rows));
  return {
    ...judged(played, messages),
    rows,
    notes: notes(arms),
    command: `npm run bench -- drain ${arms.length > QUEUES.length ? '' : `${arms.join(' ')} `}--messages ${messages} --devices ${devices} --rounds ${rounds}`,
  };
}

/** Figures, targets and whether all of them hold. */
export function judged(
  played: ReadonlyMap<string, readonly Played[]>,
  messages: number,
): Pick<RunResult, 'name' | 'ok' | 'figures' | 'targets'> {
  const figures: Record<string, Figure> = { transport: 'simulated, without pacing' };
  const targets: Record<string, Figure> = { wrongRuns: 0 };
  const ours = played.get(OURS) ?? [];
  let ok = true;
  let wrong = 0;
  for (const [arm, runs] of played) {
    const rates = runs.map(({ perSecond }) => perSecond);
    figures[`${arm}: msg/s`] = Math.round(median(rates));
    figures[`${arm}: lowest to highest`] = `${Math.min(...rates)} to ${Math.max(...rates)}`;
    wrong += runs.filter((one) => !faultless(one) || one.arrived !== messages || (one.ledgerSent ?? messages) !== messages).length;
    const ratio = RATIOS[arm];
    if (ratio === undefined) continue;
    const ratios = runs.map(({ perSecond }, round) => (ours[round]?.perSecond ?? Number.NaN) / perSecond);
    figures[ratio.figure] = Math.round(median(ratios) * 100) / 100;
    figures[`${ratio.figure}: lowest to highest`] = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    targets[ratio.figure] = `>= ${ratio.least}`;
    ok &&= Number(figures[ratio.figure]) >= ratio.least;
  }
  const others = Math.max(0, ...[...played.values()].flat().map(({ othersPercent }) => othersPercent));
  figures['wrongRuns'] = wrong;
  figures['othersPercent'] = others;
  targets['othersPercent'] = `<= ${OTHERS}`;
  targets[`${OURS}: msg/s`] = `>= ${FLOOR}`;
  ok &&= wrong === 0 && others <= OTHERS && Number(figures[`${OURS}: msg/s`]) >= FLOOR;
  return { name: 'drain', ok, figures, targets };
}

function notes(arms: readonly string[]): Record<string, string> {
  const settings = QUEUES.filter(({ name }) => arms.includes(name)).map(({ name, version, settings }) => [name, `${version}: ${settings}`]);
  return {
    ...(Object.fromEntries(settings) as Record<string, string>),
    us: 'CPU of a process and its children, us per message',
    'others %': 'of all processors of the machine, taken by processes that are no part of the run',
    order: arms.includes(GRAPHILE.name) ? 'only ours and graphile-worker keep it by themselves' : '',
  };
}
