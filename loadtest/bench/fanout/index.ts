import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { table } from '../../../ops/report/index.ts';
import { type Measured, median, type Rig, type RigOptions, round, startRig } from './rig.ts';

export { connections } from './connections.ts';

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
  /** default WARM_UP: more until those who stall are seen to be stalled */
  readonly warmUp?: number;
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
  {
    name: 'identical, 10 KB, 1k, 5 % stalled',
    arms: THREE,
    options: { sockets: 1_000, groups: 1, payloadBytes: 10_000, stalled: 50, stalledOperations: 4 },
    warmUp: 140,
  },
  { name: 'identical, 1.2 KB, 3k', arms: THREE, options: { sockets: 3_000, groups: 1, payloadBytes: KB }, hz: 4 },
];
const ROUNDS = 7;
const TIMES = 16;
/** a server that has run for a while is what is asked about: all code has been compiled */
const WARM_UP = 40;
/** published before each measurement: more than the 16 frames that an idle connection acknowledges one by one */
const SETTLE = 20;
const HZ = 8;

const HEAD: readonly Figure[] = ['arm', 'us/message', 'in the kernel', 'lowest', 'highest', 'p50 ms', 'p99 ms', 'delivered', 'RSS grew MB'];

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
    const rss = new Map<string, number>();
    for (const rig of rigs) rss.set(rig.arm, (await rig.memory()).rss);
    for (const rig of rigs) {
      rig.stall(true);
      await rig.measure(scenario.warmUp ?? WARM_UP, hz * 2);
    }
    for (let n = 0; n < ROUNDS; n++) {
      for (const rig of n % 2 === 0 ? rigs : [...rigs].reverse()) {
        await rig.measure(SETTLE, hz);
        measured.get(rig.arm)?.push(await rig.measure(TIMES, hz));
      }
    }
    for (const rig of rigs) rss.set(rig.arm, (await rig.memory()).rss - (rss.get(rig.arm) ?? 0));
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
        round((rss.get(arm) ?? 0) / 1e6),
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
