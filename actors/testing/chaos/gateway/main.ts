import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../../ops/lifecycle/index.ts';
import { finish, type RunResult, table } from '../../../../ops/report/index.ts';
import { makeTestBuild, type Swap } from '../plants.ts';
import { type GatewayRunResult, runGateway } from './run.ts';

/**
 * `npm run chaos -- gateway [--runs N] [--seed S] [--subscriptions N] [--devices N] [--rate N] [--plant gap|duplicate] [--json FILE] [--keep]`.
 * Right when no subscription misses anything or is given anything twice; with a plant, when the checker finds it.
 */
export const GATEWAY_USAGE =
  '       npm run chaos -- gateway [--runs N] [--seed S] [--subscriptions N] [--devices N] [--rate N] [--plant gap|duplicate] [--json FILE] [--keep]';

/** A gateway that takes a resuming client for a little further along, or a little less, than it said. */
const resumeOff = (name: string, by: string): Swap => ({
  name,
  in: (path) => path === 'gateway/hub/operations.js',
  from: /\{ position: source\.since, version: undefined \}/,
  to: `{ position: { epoch: source.since.epoch, seq: Math.max(0, source.since.seq ${by}) }, version: undefined }`,
  atLeast: 1,
});
const PLANTS: Readonly<Record<string, Swap>> = {
  gap: resumeOff('resumes beyond the position', '+ 2'),
  duplicate: resumeOff('resumes before the position', '- 2'),
};
const write = (text: string): void => void process.stdout.write(text);

function outcome(result: GatewayRunResult, plant: string | undefined): RunResult {
  const { examples: _examples, resumeMs, drained, ...figures } = result;
  const sorted = [...resumeMs].sort((a, b) => a - b);
  const targets: Record<string, number | boolean | string> = { drained: true };
  if (plant === undefined) Object.assign(targets, { gaps: 0, duplicates: 0, foreign: 0, ended: 0, wrongFleets: 0, epochs: 1 });
  else if (plant === 'gap') targets['gaps'] = '> 0';
  else targets['duplicates'] = '> 0';
  const found = plant === undefined ? null : plant === 'gap' ? result.gaps > 0 : result.duplicates > 0;
  const right =
    result.gaps + result.duplicates + result.foreign + result.ended + result.wrongFleets === 0 && result.epochs === 1 && drained;
  return {
    name: plant === undefined ? 'chaos gateway' : `chaos gateway --plant ${plant}`,
    ok: found ?? right,
    figures: {
      ...figures,
      drained,
      resumeMedianMs: sorted[Math.floor(sorted.length / 2)] ?? null,
      resumeWorstMs: sorted.at(-1) ?? null,
      ...(plant === undefined ? {} : { plant }),
    },
    targets,
  };
}

export async function gatewayChaos(args: readonly string[], distDir: string): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      seed: { type: 'string' },
      subscriptions: { type: 'string' },
      devices: { type: 'string' },
      rate: { type: 'string' },
      plant: { type: 'string' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 1) throw new Error(`expected "gateway", got "${positionals.join(' ')}"`);
  const whole = (name: 'runs' | 'seed' | 'subscriptions' | 'devices' | 'rate', fallback: number, low: number, high: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new Error(`--${name}: expected a whole number from ${low} to ${high}`);
    return value;
  };
  const { plant } = values;
  const swap = plant === undefined ? undefined : PLANTS[plant];
  if (plant !== undefined && swap === undefined) throw new Error(`--plant: expected one of ${Object.keys(PLANTS).join(', ')}`);
  const began = systemClock.monotonic();
  const say = (line: string): void => write(`[${Math.round((systemClock.monotonic() - began) / 1000)} s] ${line}\n`);
  const home = mkdtempSync(join(tmpdir(), 'flotilla-build-'));
  try {
    const seed = whole('seed', Math.floor(systemDice.next() * 1_000_000), 0, 0xffffffff);
    say(`seed ${seed}`);
    const { result, folder } = await runGateway(systemClock, {
      distDir: swap === undefined ? distDir : makeTestBuild(distDir, join(home, 'build'), [swap]),
      runs: whole('runs', plant === undefined ? 3 : 1, 1, 1000),
      seed,
      devices: whole('devices', 100, 2, 3000),
      subscriptions: whole('subscriptions', 1000, 4, 20_000),
      rate: whole('rate', 40, 1, 5000),
      keep: values.keep,
      say,
    });
    for (const example of result.examples) say(example);
    if (folder !== undefined && plant === undefined) say(`kept in ${folder}`);
    else if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    const report = outcome(result, plant);
    const rows = Object.entries(report.figures).map(([name, value]) => [name, value, report.targets[name] ?? '']);
    write(`\n${table([['figure', 'value', 'target'], ...rows])}\n\n`);
    finish(report, { write, jsonFile: values.json });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
