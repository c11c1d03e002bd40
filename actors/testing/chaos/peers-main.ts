import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemDice } from '../../../ops/lifecycle/index.ts';
import { type Figure, finish, type RunResult, table } from '../../../ops/report/index.ts';
import { type ArenaResult, BULLMQ, COMPARED, GRAPHILE_WORKER, type Peer, playPeer, strikeOf } from '../peers/index.ts';
import { allFaults, type Fault } from './faults/index.ts';
import { type Played, playGround } from './matrix.ts';

/** `npm run chaos -- peers [--runs N] [--seed S] [--devices N] [--rate N] [--faults a,b] [--json FILE]`: the same faults on us and on peers. */
export const PEERS_USAGE = `       npm run chaos -- peers [--runs N] [--seed S] [--devices N] [--rate N] [--faults ${COMPARED.join(',')}] [--json FILE]`;
const write = (text: string): void => void process.stdout.write(text);

/** One row's worth of one run. */
export interface Compared {
  readonly arm: string;
  readonly fault: string;
  readonly accepted: number;
  readonly lost: number;
  readonly stuck: number;
  readonly sentTwice: number;
  readonly shownTwice: number;
  readonly order: number;
  readonly latencyP99Ms: number | null;
  readonly longestMs: number | null;
  readonly fullRateMs: number | null;
}

export const COMPARED_HEAD = [
  'fault',
  'arm',
  'runs',
  'accepted',
  'lost',
  'stuck',
  'sent twice',
  'shown twice',
  'order breaks',
  'latency p99 ms',
  'longest wait ms',
  'full rate again ms',
] as const;

const whole = (value: number | null): number | null => (value === null ? null : Math.round(value));
const most = (values: readonly (number | null)[]): number | null =>
  values.includes(null) ? null : Math.round(Math.max(...values.map(Number)));

/** Counts are summed over the runs, times are the longest; null: not in the time it was watched. */
export function comparedRow(runs: readonly Compared[]): Figure[] {
  const sum = (pick: (one: Compared) => number): number => runs.reduce((total, one) => total + pick(one), 0);
  return [
    runs[0]?.fault ?? '',
    runs[0]?.arm ?? '',
    runs.length,
    sum(({ accepted }) => accepted),
    sum(({ lost }) => lost),
    sum(({ stuck }) => stuck),
    sum(({ sentTwice }) => sentTwice),
    sum(({ shownTwice }) => shownTwice),
    sum(({ order }) => order),
    most(runs.map(({ latencyP99Ms }) => latencyP99Ms)),
    most(runs.map(({ longestMs, stuck }) => (stuck > 0 ? null : longestMs))),
    most(runs.map(({ fullRateMs }) => fullRateMs)),
  ];
}

const ofPeer = (peer: Peer, fault: string, { verdict, lost, stuck, flow, fullRateMs }: ArenaResult): Compared => ({
  arm: peer.name,
  fault,
  accepted: verdict.accepted,
  lost,
  stuck,
  sentTwice: verdict.repeats,
  shownTwice: verdict.doubled,
  order: verdict.order,
  latencyP99Ms: whole(flow.latencyP99Ms),
  longestMs: whole(flow.latencyMaxMs),
  fullRateMs: whole(fullRateMs),
});

const OURS = 'Flotilla';
const ofUs = (one: Played): Compared => ({
  arm: OURS,
  fault: one.fault,
  accepted: one.verdict.accepted,
  lost: one.verdict.lost,
  stuck: one.verdict.open,
  sentTwice: one.verdict.repeats,
  shownTwice: one.verdict.doubled,
  order: one.verdict.order,
  latencyP99Ms: whole(one.latencyP99Ms),
  longestMs: whole(one.latencyMaxMs),
  fullRateMs: most(one.backs),
});

const PEERS: readonly Peer[] = [BULLMQ, GRAPHILE_WORKER];
/** Twice the time after which a peer looks for stalled jobs, and as long for one that does not in any run. */
const WAIT_MS = 75_000;

function settingsFrom(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Math.floor(systemDice.next() * 1_000_000)) },
      devices: { type: 'string', default: '300' },
      rate: { type: 'string', default: '200' },
      faults: { type: 'string', default: COMPARED.join(',') },
      json: { type: 'string' },
    },
  });
  const whole = (name: 'runs' | 'seed' | 'devices' | 'rate', low: number, high: number): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new Error(`--${name}: expected a whole number from ${low} to ${high}`);
    return value;
  };
  const every = allFaults();
  const faults = values.faults.split(',').map((name): Fault => {
    const fault = COMPARED.includes(name) ? every.find((one) => one.name === name) : undefined;
    if (fault === undefined) throw new Error(`--faults: expected some of ${COMPARED.join(', ')}`);
    return fault;
  });
  return {
    faults,
    runs: whole('runs', 1, 100),
    seed: whole('seed', 0, 0xffffffff),
    devices: whole('devices', 6, 3000),
    rate: whole('rate', 10, 5000),
    json: values.json,
  };
}

/** @throws Error on wrong arguments, or when an arm could not be played */
export async function runPeers(args: readonly string[], distDir: string): Promise<void> {
  const settings = settingsFrom(args);
  const { runs, devices, rate: perSecond } = settings;
  const compared: Compared[] = [];
  for (const fault of settings.faults) {
    for (let run = 0; run < runs; run++) {
      const seed = settings.seed + run;
      const say = (arm: string) => (line: string) => write(`[${fault.name} ${arm}] ${line}\n`);
      // a strike at us counts as many runs as it has victims; here it is one
      const one = { ...fault, strikes: 1 };
      const stack = await playGround(systemClock, fault.ground, [{ fault: one, strikes: 1 }], {
        distDir,
        devices,
        perSecond,
        seed,
        keep: false,
        say: say(OURS),
      });
      if (stack.broken !== undefined) throw new Error(`${fault.name}: ${stack.broken.why}`);
      compared.push(...stack.played.map(ofUs));
      for (const peer of PEERS) {
        const strike = strikeOf(peer, fault.name);
        if (strike === undefined) continue;
        const result = await playPeer(systemClock, peer, strike, {
          distDir,
          devices,
          perSecond,
          seed,
          waitMs: WAIT_MS,
          say: say(peer.name),
        });
        compared.push(ofPeer(peer, fault.name, result));
      }
      const played = compared.filter((row) => row.fault === fault.name);
      write(
        `${table([COMPARED_HEAD, ...[...new Set(played.map(({ arm }) => arm))].map((arm) => comparedRow(played.filter((row) => row.arm === arm)))])}\n`,
      );
    }
  }
  finish(
    { ...comparison(compared, settings), command: `npm run chaos -- ${args.join(' ')}` },
    { write, jsonFile: prepared(settings.json) },
  );
}

function prepared(file: string | undefined): string | undefined {
  if (file !== undefined) mkdirSync(dirname(file), { recursive: true });
  return file;
}

/** Right when we lost, doubled and swapped nothing; of the peers it is only told. */
export function comparison(
  compared: readonly Compared[],
  { devices, rate }: { readonly devices: number; readonly rate: number },
): RunResult {
  const keys = [...new Set(compared.map(({ fault, arm }) => `${fault}/${arm}`))];
  const rows = keys.map((key) => comparedRow(compared.filter(({ fault, arm }) => `${fault}/${arm}` === key)));
  const figures: Record<string, Figure> = { devices, rate };
  for (const arm of new Set(compared.map((one) => one.arm))) {
    const mine = compared.filter((one) => one.arm === arm);
    const name = arm.toLowerCase().replaceAll(/[^a-z]/g, '');
    for (const figure of ['accepted', 'lost', 'stuck', 'sentTwice', 'shownTwice', 'order'] as const)
      figures[`${name}.${figure}`] = mine.reduce((sum, one) => sum + one[figure], 0);
    figures[`${name}.longestMs`] = most(mine.map(({ longestMs, stuck }) => (stuck > 0 ? null : longestMs)));
  }
  const targets = { 'flotilla.lost': 0, 'flotilla.stuck': 0, 'flotilla.shownTwice': 0, 'flotilla.order': 0 };
  const ok = Object.entries(targets).every(([name, target]) => figures[name] === target);
  const notes = {
    [OURS]: 'as in the matrix: 3 nodes, 2 gateways, the shipped lease of 6 s (2 s in pause); messages go through the API, in two lanes',
    ...Object.fromEntries(PEERS.map((peer) => [`${peer.name} ${peer.version}`, peer.settings])),
  };
  return { name: 'chaos peers', ok, figures, targets, rows: [COMPARED_HEAD, ...rows], notes };
}
