import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../../ops/lifecycle/index.ts';
import { type Figure, finish, type RunResult, table } from '../../../../ops/report/index.ts';
import { FAULT_FIGURES } from '../../checker/index.ts';
import { makeTestBuild, type Swap } from '../plants.ts';
import { FLOW_FAULTS } from './check.ts';
import { type CampaignResult, runCampaign } from './run.ts';

/**
 * `npm run chaos -- campaign [--runs N] [--seed S] [--devices N] [--leads N] [--plant no-stop|no-cap|no-pace|no-rules] [--json FILE] [--keep]`.
 * Right when nothing is lost, doubled or out of order, nobody who said stop is messaged, and no device is above its cap or its pace; with a plant, when
 * the check finds it.
 */
export const CAMPAIGN_USAGE =
  '       npm run chaos -- campaign [--runs N] [--seed S] [--devices N] [--leads N] [--plant no-stop|no-cap|no-pace|no-rules] [--json FILE] [--keep]';

const intent = (name: string, from: RegExp): Swap => ({ name, in: (path) => path === 'schema/sql/intent.sql', from, to: '', atLeast: 1 });
interface Plant {
  readonly swaps: readonly Swap[];
  readonly found: (result: CampaignResult) => boolean;
}
/** sends that must still come after the last strike, of each lead */
const LATE_SHARE = 0.1;
/** leads that said stop before or amid the run: the campaign that is called off does not write to them anyway */
const STOPPED_SHARE = 0.08;
/** The intent asks for one thing less. The planner still leaves out who said stop before: the intent is for those whose message is made already. */
const PLANTS: Readonly<Record<string, Plant>> = {
  'no-stop': {
    swaps: [
      intent('the intent does not ask who said stop', /^.*when s\.hit is not null then 'SUPPRESSED'$/gm),
      {
        name: 'neither does the planner',
        in: (path) => path === 'schema/sql/plan-messages.sql',
        from: /s\.hit is not null as suppressed/g,
        to: 'false as suppressed',
        atLeast: 1,
      },
    ],
    found: ({ flows }) => flows.suppressed > 0,
  },
  'no-cap': { swaps: [intent('the intent does not ask for the cap', /^.*then 'CAPPED'$/gm)], found: ({ flows }) => flows.overCap > 0 },
  'no-pace': { swaps: [intent('the intent does not ask for the pace', /^.*then 'PACED'$/gm)], found: ({ flows }) => flows.hurried > 0 },
};
const ALL = 'no-rules';
const allPlants: Plant = {
  swaps: Object.values(PLANTS).flatMap((one) => one.swaps),
  found: (result) => Object.values(PLANTS).every((one) => one.found(result)),
};
const plantOf = (name: string | undefined): Plant | undefined => (name === ALL ? allPlants : PLANTS[name ?? '']);
const STOP_WITHIN_MS = 2000;
const SETTLE_MS = 240_000;
/** with a plant, what never ends is not waited for */
const PLANTED_SETTLE_MS = 60_000;
const write = (text: string): void => void process.stdout.write(text);

function complaints(result: CampaignResult): string[] {
  const wrong: string[] = FAULT_FIGURES.filter((figure) => result.verdict[figure] > 0);
  wrong.push(...FLOW_FAULTS.filter((figure) => result.flows[figure] > 0));
  if (result.lastAfterPauseMs > STOP_WITHIN_MS) wrong.push('lastAfterPauseMs');
  if (result.lastAfterCancelMs > STOP_WITHIN_MS) wrong.push('lastAfterCancelMs');
  if (result.devicesBelowCap > 0) wrong.push('devicesBelowCap');
  if (!result.drained) wrong.push('drained');
  // the load was over too early: such a run proves nothing (more --leads)
  const busy =
    result.afterLastStrike >= result.flows.leads * LATE_SHARE && Math.min(result.afterResume, result.beforePause, result.beforeCancel) > 0;
  if (!busy || result.calledOffLeft < result.flows.leads * STOPPED_SHARE * 2) wrong.push('idle');
  return wrong;
}

function outcome(results: readonly CampaignResult[], plant: string | undefined): RunResult {
  const found = plantOf(plant)?.found;
  const right = results.filter((result) => (found === undefined ? complaints(result).length === 0 : found(result))).length;
  const most = (pick: (result: CampaignResult) => number): number => Math.max(...results.map(pick));
  const sum = (pick: (result: CampaignResult) => number): number => results.reduce((total, result) => total + pick(result), 0);
  const figures: Record<string, Figure> = {
    runs: results.length,
    right,
    leads: sum(({ flows }) => flows.leads),
    enrolments: sum(({ flows }) => flows.enrolments),
    'steps shown': sum(({ flows }) => flows.shown),
    ...Object.fromEntries(FAULT_FIGURES.map((figure) => [figure, sum(({ verdict }) => verdict[figure])])),
    ...Object.fromEntries(FLOW_FAULTS.map((figure) => [`flow: ${figure}`, sum(({ flows }) => flows[figure])])),
    repeats: sum(({ verdict }) => verdict.repeats),
    'devices at their cap': sum(({ flows }) => flows.capsReached),
    'sends after the last strike': sum((result) => result.afterLastStrike),
    'sends after the pause': sum((result) => result.afterResume),
    'sends shortly before the pause': sum((result) => result.beforePause),
    'sends shortly before the cancel': sum((result) => result.beforeCancel),
    'called off before their message': sum((result) => result.calledOffLeft),
    'last send after pause ms': most((result) => result.lastAfterPauseMs),
    'last send after cancel ms': most((result) => result.lastAfterCancelMs),
    drained: results.every((result) => result.drained),
    secondsPerRun: most((result) => Math.round(result.tookMs / 1000)),
  };
  const zero = [...FAULT_FIGURES, ...FLOW_FAULTS.map((figure) => `flow: ${figure}`)].map((figure) => [figure, 0] as const);
  const targets: Record<string, Figure> =
    plant === undefined
      ? {
          right: results.length,
          ...Object.fromEntries(zero),
          'last send after pause ms': `<= ${STOP_WITHIN_MS}`,
          'last send after cancel ms': `<= ${STOP_WITHIN_MS}`,
          drained: true,
        }
      : { right: results.length };
  const name = plant === undefined ? 'chaos campaign' : `chaos campaign --plant ${plant}`;
  return { name, ok: right === results.length, figures, targets, command: `npm run ${name.replace('chaos', 'chaos --')}` };
}

export async function campaignChaos(args: readonly string[], distDir: string): Promise<void> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { runs: text, seed: text, devices: text, leads: text, plant: text, json: text, keep: { type: 'boolean', default: false } },
  });
  if (positionals.length !== 1) throw new Error(`expected "campaign", got "${positionals.join(' ')}"`);
  const whole = (name: 'runs' | 'seed' | 'devices' | 'leads', fallback: number, low: number, high: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new Error(`--${name}: expected a whole number from ${low} to ${high}`);
    return value;
  };
  const { plant } = values;
  const planted = plantOf(plant);
  if (plant !== undefined && planted === undefined) throw new Error(`--plant: expected one of ${[...Object.keys(PLANTS), ALL].join(', ')}`);
  const runs = whole('runs', 1, 1, 1000);
  const seed = whole('seed', Math.floor(systemDice.next() * 1_000_000), 0, 0xffffffff);
  const devices = whole('devices', 60, 10, 3000);
  const leads = whole('leads', devices * 40, 100, 1_000_000);
  const home = mkdtempSync(join(tmpdir(), 'flotilla-build-'));
  const results: CampaignResult[] = [];
  try {
    const build = planted === undefined ? distDir : makeTestBuild(distDir, join(home, 'build'), planted.swaps);
    for (let n = 0; n < runs; n++) {
      const began = systemClock.monotonic();
      const say = (line: string): void =>
        write(`[run ${n + 1}/${runs} ${Math.round((systemClock.monotonic() - began) / 1000)} s] ${line}\n`);
      say(`seed ${seed + n}`);
      const result = await runCampaign(systemClock, {
        distDir: build,
        devices,
        leads,
        seed: seed + n,
        settleMs: planted === undefined ? SETTLE_MS : PLANTED_SETTLE_MS,
        keep: values.keep,
        say,
      });
      results.push(result);
      for (const example of [...result.verdict.examples, ...result.flows.examples]) say(example);
      if (result.folder !== undefined && planted === undefined) say(`kept in ${result.folder}`);
      else if (result.folder !== undefined && !values.keep) rmSync(result.folder, { recursive: true, force: true });
      const wrong = complaints(result);
      if (planted !== undefined) say(planted.found(result) ? 'the fault was found' : 'the fault was NOT found');
      else say(wrong.length === 0 ? 'right' : `WRONG: ${wrong.join(', ')}`);
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const report = outcome(results, plant);
  write(
    `\n${table([['figure', 'value', 'target'], ...Object.entries(report.figures).map(([name, value]) => [name, value, report.targets[name] ?? ''])])}\n\n`,
  );
  finish(report, { write, jsonFile: values.json });
}
