import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { table } from '../../../ops/report/index.ts';
import { type Measured, type Memory, percentile, type Rig, type RigOptions, startRig } from './rig.ts';

/**
 * What one delivered message costs the server, side by side with peers: the arms of a scenario stand at the same time, are measured in turn
 * for a few rounds, in one order and then in the other. A figure is the median of its rounds; a ratio is the median of what it was in each round, since
 * the two sides of a round lie seconds apart and those of different rounds minutes; the spread is printed. Ours publishes at once (tick 0), so it
 * delivers as many frames as its peers. Each arm publishes some frames that are not measured before those that are: a connection that was idle for longer
 * than its retransmission timeout acknowledges its next 16 segments one by one, and these acknowledgements are worked off by whoever
 * sends. They made the same arm cost 7.5 or 11 us, by nothing but what had run before it. A stream that goes on pays them once.
 * Not measured: TLS, compression, Redis, authentication (no arm has it), the network between machines.
 */
interface Scenario {
  readonly name: string;
  readonly arms: readonly string[];
  readonly options: RigOptions;
  /** default HZ: slower where the slowest arm could not keep up */
  readonly hz?: number;
}
const KB = 1_200;
const ALL = ['ours', 'graphql-ws + ws', 'graphql-ws on uWS', 'mercurius', 'raw uWS', 'raw uWS publish'];
const THREE = ['ours', 'graphql-ws + ws', 'raw uWS'];
const SCENARIOS: readonly Scenario[] = [
  { name: 'identical, 1.2 KB, 1k', arms: ALL, options: { sockets: 1_000, groups: 1, payloadBytes: KB } },
  {
    name: 'identical but ids, 1.2 KB, 1k',
    arms: ['ours', 'raw uWS'],
    options: { sockets: 1_000, groups: 1, payloadBytes: KB, ids: 'own' },
  },
  { name: '100 groups, 1.2 KB, 1k', arms: THREE, options: { sockets: 1_000, groups: 100, payloadBytes: KB } },
  {
    name: 'all distinct, 1.2 KB, 1k',
    arms: ['ours', 'graphql-ws + ws', 'mercurius'],
    options: { sockets: 1_000, groups: 0, payloadBytes: KB },
  },
  { name: 'identical, 0.1 KB, 1k', arms: THREE, options: { sockets: 1_000, groups: 1, payloadBytes: 100 } },
  { name: 'identical, 10 KB, 1k', arms: THREE, options: { sockets: 1_000, groups: 1, payloadBytes: 10_000 } },
  { name: 'identical, 1.2 KB, 3k', arms: THREE, options: { sockets: 3_000, groups: 1, payloadBytes: KB }, hz: 4 },
];
const ROUNDS = 7;
const TIMES = 16;
/** a server that has run for a while is what is asked about: all code has been compiled */
const WARM_UP = 40;
/** published before each measurement: more than the 16 frames that an idle connection acknowledges one by one */
const SETTLE = 20;
const HZ = 8;

const HEAD: readonly Figure[] = ['arm', 'us/message', 'in the kernel', 'lowest', 'highest', 'p50 ms', 'p99 ms', 'delivered'];

const round = (value: number): number => Math.round(value * 10) / 10;
const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Of one arm to another, round by round. */
function ratio(measured: ReadonlyMap<string, readonly Measured[]>, arm: string, to: string): number {
  const others = measured.get(to) ?? [];
  const each = (measured.get(arm) ?? []).map((one, n) => one.cpuUsPerMessage / (others[n]?.cpuUsPerMessage ?? Number.NaN));
  return Math.round(median(each) * 1000) / 1000;
}

async function play(scenario: Scenario, say: (line: string) => void): Promise<{ measured: Map<string, Measured[]>; rows: Figure[][] }> {
  const hz = scenario.hz ?? HZ;
  const rigs: Rig[] = [];
  try {
    for (const arm of scenario.arms) rigs.push(await startRig(arm, scenario.options));
    const measured = new Map<string, Measured[]>(scenario.arms.map((arm) => [arm, []]));
    for (const rig of rigs) await rig.measure(WARM_UP, hz * 2);
    for (let n = 0; n < ROUNDS; n++) {
      for (const rig of n % 2 === 0 ? rigs : [...rigs].reverse()) {
        await rig.measure(SETTLE, hz);
        measured.get(rig.arm)?.push(await rig.measure(TIMES, hz));
      }
    }
    const rows: Figure[][] = [[...HEAD]];
    for (const [arm, list] of measured) {
      const us = list.map((one) => one.cpuUsPerMessage);
      const lost = list.some((one) => one.delivered < one.expected);
      rows.push([
        arm,
        round(median(us)),
        round(median(list.map((one) => one.kernelUsPerMessage))),
        round(Math.min(...us)),
        round(Math.max(...us)),
        round(median(list.map((one) => one.p50Ms))),
        round(median(list.map((one) => one.p99Ms))),
        lost ? 'NOT ALL' : 'all',
      ]);
    }
    say(`\n${scenario.name}\n${table(rows)}`);
    return { measured, rows: rows.slice(1).map((row) => [scenario.name, ...row]) };
  } finally {
    for (const rig of rigs) rig.close();
  }
}

/** @param parts words of the scenarios to play; none = all */
export async function fanout(say: (line: string) => void, parts: readonly string[]): Promise<RunResult> {
  const figures: Record<string, Figure> = {};
  const rows: Figure[][] = [['scenario', ...HEAD]];
  let lost = 0;
  const chosen = SCENARIOS.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
  if (chosen.length === 0) throw new Error(`expected words out of: ${SCENARIOS.map(({ name }) => `"${name}"`).join(' ')}`);
  for (const scenario of chosen) {
    const played = await play(scenario, say);
    rows.push(...played.rows);
    lost += [...played.measured.values()].flat().filter((one) => one.delivered < one.expected).length;
    const to = (peer: string): number => ratio(played.measured, 'ours', peer);
    if (scenario === SCENARIOS[0]) Object.assign(figures, { identicalToGraphqlWs: to('graphql-ws + ws'), identicalToRaw: to('raw uWS') });
    if (scenario.options.ids === 'own') figures['identicalButIdsToRaw'] = to('raw uWS');
    if (scenario.options.groups === 0) figures['distinctToGraphqlWs'] = to('graphql-ws + ws');
  }
  figures['roundsThatLostFrames'] = lost;
  const most = { identicalToGraphqlWs: 0.2, identicalToRaw: 1.3, distinctToGraphqlWs: 1.1, roundsThatLostFrames: 0 };
  const targets = Object.fromEntries(Object.entries(most).filter(([name]) => name in figures));
  return { name: 'fanout', ok: Object.entries(targets).every(([name, most]) => Number(figures[name]) <= most), figures, targets, rows };
}

const SOCKETS = 3_000;

/** Heap per idle connection with one operation; a storm of connects; and what one stalled reader among many does to the others. */
export async function connections(say: (line: string) => void): Promise<RunResult> {
  const figures: Record<string, Figure> = {};
  for (const [arm, groups] of [
    ['ours', 1],
    ['ours', 0],
    ['graphql-ws + ws', 1],
  ] as const) {
    let before: Memory | undefined;
    const rig = await startRig(arm, { sockets: SOCKETS, groups, payloadBytes: KB }, (memory) => {
      before = memory;
    });
    const after = await rig.memory();
    rig.close();
    const each = (name: keyof Memory): number => Math.round((after[name] - (before?.[name] ?? 0)) / SOCKETS);
    const name = `${arm}${groups === 0 ? ', all distinct' : ''}`;
    figures[`${name}: heap bytes`] = each('heapUsed');
    figures[`${name}: rss bytes`] = each('rss');
    say(`${name}: ${each('heapUsed')} bytes of heap, ${each('external')} external, ${each('rss')} RSS per socket with one operation`);
  }
  for (const arm of ['ours', 'graphql-ws + ws']) {
    const rig = await startRig(arm, { sockets: SOCKETS, groups: 1, payloadBytes: KB, spreadMs: 0 });
    rig.close();
    figures[`${arm}: storm of connects ms`] = Math.round(rig.connected.ms);
    figures[`${arm}: storm of connects, cpu us each`] = Math.round(rig.connected.cpuUs);
    say(`${arm}: ${SOCKETS} sockets dialled at once all have their subscription after ${Math.round(rig.connected.ms)} ms`);
  }
  const p99: Record<string, number[]> = { alone: [], stalled: [] };
  let held = 0;
  const options = { sockets: SOCKETS, groups: 1, payloadBytes: 10_000 };
  const alone = await startRig('ours', options);
  const stalled = await startRig('ours', { ...options, stalled: 1 / SOCKETS });
  const memory = (await stalled.memory()).external;
  for (let n = 0; n < 4; n++) {
    p99['alone']?.push((await alone.measure(40, 8)).p99Ms);
    p99['stalled']?.push((await stalled.measure(40, 8, SOCKETS - 1)).p99Ms);
    held = Math.max(held, (await stalled.memory()).external - memory);
  }
  alone.close();
  stalled.close();
  const ratio = median(p99['stalled'] ?? []) / median(p99['alone'] ?? []);
  Object.assign(figures, {
    heapPerIdleOperation: figures['ours: heap bytes'] ?? null,
    p99AloneMs: round(median(p99['alone'] ?? [])),
    p99WithOneStalledMs: round(median(p99['stalled'] ?? [])),
    othersP99Ratio: Math.round(ratio * 100) / 100,
    heldForStalledBytes: held,
  });
  const targets = { heapPerIdleOperation: 2048, othersP99Ratio: 1.1, heldForStalledBytes: 1024 * 1024 };
  return { name: 'connections', ok: Object.entries(targets).every(([name, most]) => Number(figures[name]) <= most), figures, targets };
}
