import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { type Memory, median, type Rig, round, startRig } from './rig.ts';

/**
 * `npm run bench -- connections [memory] [storm] [stalled]`: 3,000 sockets with one operation each. What an idle one takes of the heap; how long it takes until
 * all that dial at once have their subscription; what one reader that reads nothing does to the others, and what is kept for it. Not
 * measured: TLS, the kernel's memory, and that a reader which stays stalled is closed after 15 s (here it is kept, to be measured).
 */
const SOCKETS = 3_000;
const PAYLOAD = 1_200;
const HZ = 8;
/** how often the reader that stalls subscribes: the kernel takes megabytes for it before the server notices */
const STALLED_OPERATIONS = 100;
const TIMES = 32;
/** frames that are not measured: all code has been compiled */
const WARM_UP = 40;
/** the machine's own noise is more than a tenth of a single round */
const STALLED_ROUNDS = 9;
/** looked at after so many frames each time, so often */
const FILLING = { frames: 16, times: 40 };

/** Until the server holds something for the reader that stalls, or nothing any more for the one that reads again. */
async function settle(rig: Rig, stalled: boolean): Promise<void> {
  rig.stall(stalled);
  for (let n = 0; n < FILLING.times; n++) {
    await rig.measure(FILLING.frames, HZ);
    if ((await rig.memory()).held > 0 === stalled) return;
  }
  throw new Error(
    stalled ? 'the reader that was to stall did not: nothing is held for it' : 'a reader that reads again is not given what was held',
  );
}

/**
 * What one reader of many does to the others when it stops reading, and what is kept for it. The same sockets of the same server in turn, with that reader
 * reading and stalled, in one order and then in the other.
 */
async function oneStalled(say: (line: string) => void): Promise<Record<string, Figure>> {
  const rig = await startRig('ours', {
    sockets: SOCKETS,
    groups: 1,
    payloadBytes: PAYLOAD,
    stalled: 1,
    stalledOperations: STALLED_OPERATIONS,
  });
  try {
    const p99 = { reading: [] as number[], stalled: [] as number[] };
    const held: number[] = [];
    let lost = 0;
    await rig.measure(WARM_UP, HZ);
    for (let n = 0; n < STALLED_ROUNDS; n++) {
      for (const stalled of n % 2 === 0 ? [false, true] : [true, false]) {
        await settle(rig, stalled);
        const one = await rig.measure(TIMES, HZ);
        p99[stalled ? 'stalled' : 'reading'].push(one.p99Ms);
        if (one.delivered < one.expected) lost += 1;
        if (stalled) held.push((await rig.memory()).held);
      }
    }
    const ratios = p99.stalled.map((one, n) => one / (p99.reading[n] ?? Number.NaN));
    const [reading, stalled] = [round(median(p99.reading)), round(median(p99.stalled))];
    say(`one stalled of ${SOCKETS}: p99 of the others ${stalled} ms, while it reads ${reading} ms, ${Math.max(...held)} bytes held`);
    return {
      p99WhileItReadsMs: reading,
      p99WithOneStalledMs: stalled,
      othersP99Ratio: Math.round(median(ratios) * 100) / 100,
      othersP99RatioLowest: Math.round(Math.min(...ratios) * 100) / 100,
      othersP99RatioHighest: Math.round(Math.max(...ratios) * 100) / 100,
      heldForStalledBytes: Math.max(...held),
      roundsThatLostFrames: lost,
    };
  } finally {
    rig.close();
  }
}

/** Of an idle connection with one operation. */
async function memory(say: (line: string) => void): Promise<Record<string, Figure>> {
  const figures: Record<string, Figure> = {};
  for (const [arm, groups] of [
    ['ours', 1],
    ['ours', 0],
    ['graphql-ws + ws', 1],
  ] as const) {
    let before: Memory | undefined;
    const rig = await startRig(arm, { sockets: SOCKETS, groups, payloadBytes: PAYLOAD }, (memory) => {
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
  return { ...figures, heapPerIdleOperation: figures['ours: heap bytes'] ?? null };
}

/** All dial at once. */
async function storm(say: (line: string) => void): Promise<Record<string, Figure>> {
  const figures: Record<string, Figure> = {};
  for (const arm of ['ours', 'graphql-ws + ws']) {
    const rig = await startRig(arm, { sockets: SOCKETS, groups: 1, payloadBytes: PAYLOAD, spreadMs: 0 });
    rig.close();
    figures[`${arm}: storm of connects ms`] = Math.round(rig.connected.ms);
    figures[`${arm}: storm of connects, cpu us each`] = Math.round(rig.connected.cpuUs);
    say(`${arm}: ${SOCKETS} sockets dialled at once all have their subscription after ${Math.round(rig.connected.ms)} ms`);
  }
  return figures;
}

const PARTS = { memory, storm, stalled: oneStalled };

/** @param parts of PARTS; none = all */
export async function connections(say: (line: string) => void, parts: readonly string[]): Promise<RunResult> {
  const unknown = parts.find((part) => !(part in PARTS));
  if (unknown !== undefined) throw new Error(`${unknown}: expected some of ${Object.keys(PARTS).join(', ')}`);
  const figures: Record<string, Figure> = {};
  for (const [part, measure] of Object.entries(PARTS))
    if (parts.length === 0 || parts.includes(part)) Object.assign(figures, await measure(say));
  const most = { heapPerIdleOperation: 2048, othersP99Ratio: 1.1, heldForStalledBytes: 1024 * 1024, roundsThatLostFrames: 0 };
  const targets = Object.fromEntries(Object.entries(most).filter(([name]) => name in figures));
  return { name: 'connections', ok: Object.entries(targets).every(([name, most]) => Number(figures[name]) <= most), figures, targets };
}
