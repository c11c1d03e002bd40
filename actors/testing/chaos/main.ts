import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../ops/lifecycle/index.ts';
import { type Figure, finish, table } from '../../../ops/report/index.ts';
import { CAMPAIGN_USAGE, campaignChaos } from './campaign/main.ts';
import { GATEWAY_USAGE, gatewayChaos } from './gateway/main.ts';
import { MATRIX_USAGE, runMatrix } from './matrix-main.ts';
import { PEERS_USAGE, runPeers } from './peers-main.ts';
import { GATEWAY_DEATH, makeTestBuild, PLANTS } from './plants.ts';
import { complaints, LEASE_TTL_MS, report, type Settings, sawNoFence } from './report.ts';
import { runSmoke, type SmokeResult } from './smoke.ts';

/**
 * `npm run chaos -- smoke [--messages N] [--devices N] [--runs N] [--seed S] [--plant no-fence] [--json FILE] [--keep]`.
 * Without a plant a run is right when nothing is lost, doubled or out of order. With one it is right when the judge finds the fault.
 */
const USAGE = `usage: npm run chaos -- smoke [--messages N] [--devices N] [--runs N] [--seed S] [--plant ${Object.keys(PLANTS).join('|')}] [--json FILE] [--keep]`;
const write = (text: string): void => void process.stdout.write(text);

function settingsFrom(args: readonly string[]): Settings {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      messages: { type: 'string' },
      devices: { type: 'string' },
      runs: { type: 'string', default: '1' },
      seed: { type: 'string' },
      plant: { type: 'string' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 1 || positionals[0] !== 'smoke') throw new Error(`expected the fault "smoke", got "${positionals.join(' ')}"`);
  const { plant } = values;
  if (plant !== undefined && PLANTS[plant] === undefined) throw new Error(`--plant: expected one of ${Object.keys(PLANTS).join(', ')}`);
  const whole = (name: 'messages' | 'devices' | 'runs' | 'seed', fallback: number, low: number, high: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new Error(`--${name}: expected a whole number from ${low} to ${high}`);
    return value;
  };
  const planted = plant !== undefined;
  return {
    messages: whole('messages', planted ? 3000 : 20_000, 100, 10_000_000),
    devices: whole('devices', planted ? 60 : 300, 2, 3000),
    runs: whole('runs', 1, 1, 1000),
    seed: whole('seed', Math.floor(systemDice.next() * 1_000_000), 0, 0xffffffff),
    plant,
    json: values.json,
    keep: values.keep,
  };
}

async function run(settings: Settings): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'flotilla-build-'));
  const results: SmokeResult[] = [];
  try {
    const planted = settings.plant === undefined ? [] : (PLANTS[settings.plant] ?? []);
    const build = makeTestBuild(distDir, join(home, 'build'), [GATEWAY_DEATH, ...planted]);
    write(`test build of ${dirname(build)}: ${[GATEWAY_DEATH, ...planted].map((swap) => swap.name).join('; ')}\n`);
    for (let n = 0; n < settings.runs; n++) {
      const began = systemClock.monotonic();
      const seed = settings.seed + n;
      const say = (line: string): void =>
        write(`[run ${n + 1}/${settings.runs} ${Math.round((systemClock.monotonic() - began) / 1000)} s] ${line}\n`);
      say(`seed ${seed}: ${settings.messages} messages, ${settings.devices} devices`);
      const { messages, devices, keep } = settings;
      const result = await runSmoke(systemClock, {
        distDir: build,
        messages,
        devices,
        seed,
        leaseTtlMs: LEASE_TTL_MS,
        stopMs: 10_000,
        // a planted build may never end what it broke
        settleMs: settings.plant === undefined ? 120_000 : 5_000,
        keep,
        say,
      });
      results.push(result);
      for (const example of result.verdict.examples) say(example);
      if (result.folder !== undefined && settings.plant === undefined) say(`kept in ${result.folder}`);
      else if (result.folder !== undefined && !keep) rmSync(result.folder, { recursive: true, force: true });
      const wrong = complaints(result);
      if (settings.plant !== undefined) say(sawNoFence(result) ? 'the fault was found' : 'the fault was NOT found');
      else say(wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`);
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const outcome = report(settings, results);
  const rows: Figure[][] = Object.entries(outcome.figures).map(([name, value]) => [name, value, outcome.targets[name] ?? '']);
  write(`\n${table([['figure', 'value', 'target'], ...rows])}\n\n`);
  finish(outcome, { write, jsonFile: settings.json });
}

const distDir = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');
try {
  const args = process.argv.slice(2);
  if (args.includes('smoke')) await run(settingsFrom(args));
  else if (args.includes('peers')) await runPeers(args, distDir);
  else if (args.includes('campaign')) await campaignChaos(args, distDir);
  else if (args.includes('gateway')) await gatewayChaos(args, distDir);
  else await runMatrix(args, distDir);
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  process.stderr.write(
    `chaos: ${error instanceof Error ? error.message : String(error)}${cause}\n${USAGE}\n${CAMPAIGN_USAGE}\n${GATEWAY_USAGE}\n${MATRIX_USAGE}\n${PEERS_USAGE}\n`,
  );
  process.exitCode = 2;
}
