import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Dice, seededDice } from '../../../ops/lifecycle/index.ts';
import type { Stack } from '../../../ops/start/index.ts';
import type { FaultFigure, Verdict } from '../checker/index.ts';
import { explainOpen } from './explain.ts';
import type { Bounds, Fault, Ground, Proxies, Stage, Strike } from './faults/fault.ts';
import { createProxy } from './proxy.ts';
import { LEASE_TTL_MS } from './report.ts';
import { arrivalsOf, drain, onStack, playOn, type Scene, until } from './scene.ts';
import { judgeSegments, type Segment } from './segment.ts';

/**
 * Plays faults that share a ground on one stack: for each a steady load, so many strikes with rests between, a drain; at the end the
 * judgement of all. A stack is left early when a fault did not heal on it. Owns the proxies.
 */
export interface PlayOptions {
  /** another build tree; default: that of this checkout */
  readonly distDir: string | undefined;
  readonly devices: number;
  readonly perSecond: number;
  readonly seed: number;
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

/** A fault and how often it strikes. */
export interface Part {
  readonly fault: Fault;
  readonly strikes: number;
}

export interface Played {
  readonly fault: string;
  readonly case: string;
  readonly seed: number;
  /** strikes that count as runs */
  readonly runs: number;
  readonly ttlMs: number;
  readonly bounds: Bounds;
  readonly verdict: Verdict;
  /** null when it could not be counted exactly at each strike */
  readonly inFlight: number | null;
  readonly takeover: { readonly strikes: number; readonly devices: number; readonly missing: number; readonly times: readonly number[] };
  /** per device and strike, the longest that a message accepted during the strike waited */
  readonly gaps: readonly number[];
  /** ms to full rate after each strike was healed; null = never */
  readonly backs: readonly (number | null)[];
  readonly latencyP99Ms: number | null;
  readonly latencyMaxMs: number | null;
  readonly stallMs: number;
  readonly answers: readonly number[];
  /** requests given up unanswered */
  readonly givenUp: number;
  readonly retries: number;
  /** writes of former owners that were refused, as the nodes that still run count them */
  readonly fenced: number;
  readonly unowned: number;
  readonly drained: boolean;
  /** the worst over the strikes */
  readonly figures: Readonly<Record<string, number>>;
  readonly tookMs: number;
}

export interface StackPlayed {
  readonly played: readonly Played[];
  readonly across: Partial<Record<FaultFigure, number>>;
  /** what broke off and why; the parts after it were not played */
  readonly broken: { readonly fault: string; readonly why: string } | undefined;
  /** parts not played, for another stack */
  readonly left: readonly Part[];
  readonly folder: string | undefined;
}

const WARM_MS = 2500;
const REST_MS = 3000;
/** Load goes on this long after the last strike: the return to full rate shows in it. */
const AFTER_MS = 3500;
const DRAIN_MS = 120_000;
const OWNED_MS = 15_000;

async function openProxies(deps: { clock: Clock; dice: Dice }, ground: Ground, names: readonly string[]): Promise<Map<string, Proxies>> {
  const wanted = ground.proxy;
  const proxies = new Map<string, Proxies>();
  if (wanted === undefined) return proxies;
  for (const name of names) {
    proxies.set(name, {
      redis: wanted === 'postgres' ? undefined : await createProxy(deps),
      postgres: wanted === 'redis' ? undefined : await createProxy(deps),
    });
  }
  return proxies;
}

/** The address with the proxy's port; the proxy is told the real one. */
function through(proxy: Proxies['redis'], url: string): string | undefined {
  if (proxy === undefined || url === '') return undefined;
  const changed = new URL(url);
  proxy.targetOnce(Number(changed.port));
  changed.port = String(proxy.port);
  return changed.href;
}

async function fencedCount(stack: Stack): Promise<number> {
  let total = 0;
  for (const node of stack.nodes.filter((one) => one.running())) {
    const text = await fetch(`${node.metricsUrl}/metrics`, { signal: AbortSignal.timeout(3000) }).then(
      (response) => response.text(),
      () => '',
    );
    for (const match of text.matchAll(/^\w*fenced\w*(?:\{[^}]*\})? ([\d.e+]+)/gm)) total += Number(match[1]);
  }
  return total;
}

async function unowned(scene: Scene): Promise<number> {
  let left = 0;
  await until(scene.clock, OWNED_MS, async () => {
    const running = new Set(scene.stack.nodes.filter((node) => node.running()).map((node) => node.id));
    left = (await scene.ledger.owned()).filter((row) => row.node === null || !running.has(row.node)).length;
    return left === 0;
  });
  return left;
}

function worstFigures(strikes: readonly Strike[]): Record<string, number> {
  const worst: Record<string, number> = {};
  for (const { figures } of strikes)
    for (const [name, value] of Object.entries(figures ?? {})) worst[name] = Math.max(worst[name] ?? value, value);
  return worst;
}

/** One fault on a stack where nothing is open. */
async function perform(part: Part, stage: Omit<Stage, 'turn'>): Promise<Segment> {
  const { clock, sender, perSecond } = stage;
  const { fault } = part;
  const began = clock.monotonic();
  const fencedBefore = await fencedCount(stage.stack);
  sender.answers();
  const from = clock.wall();
  const strikes: Strike[] = [];
  sender.rate(perSecond);
  await clock.sleep(WARM_MS);
  for (let turn = 0, counted = 0; counted < part.strikes && turn < part.strikes * 2; turn++) {
    if (turn > 0) await clock.sleep(fault.restMs ?? REST_MS);
    const strike = await fault.strike({ ...stage, turn });
    counted += strike.counts ?? 1;
    strikes.push(strike);
  }
  await clock.sleep(AFTER_MS);
  const loadedUntil = clock.wall();
  await sender.stop();
  const drained = await drain(stage, DRAIN_MS);
  if (!drained) await explainOpen(stage);
  const left = await unowned(stage);
  // nothing may arrive after this: whatever is still on its way would be a late stale send
  await clock.sleep(500);
  return {
    fault,
    strikes,
    from,
    loadedUntil,
    answers: sender.answers(),
    // nodes that began anew count from 0
    fenced: Math.max(0, (await fencedCount(stage.stack)) - fencedBefore),
    unowned: left,
    drained,
    tookMs: clock.monotonic() - began,
  };
}

const whyOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error instanceof Error ? error.message : String(error)}${cause}`;
};

async function performAll(parts: readonly Part[], stage: Omit<Stage, 'turn'>, seed: number): Promise<Omit<StackPlayed, 'folder'>> {
  const segments: Segment[] = [];
  let broken: StackPlayed['broken'];
  let brokenFrom = Number.POSITIVE_INFINITY;
  let next = 0;
  for (; next < parts.length && broken === undefined; next++) {
    const part = parts[next];
    if (part === undefined) break;
    stage.say(`${part.fault.name}: ${part.strikes} strikes`);
    const from = stage.clock.wall();
    try {
      const segment = await perform(part, stage);
      segments.push(segment);
      if (!segment.drained || segment.unowned > 0) {
        next += 1;
        break;
      }
    } catch (error) {
      broken = { fault: part.fault.name, why: whyOf(error) };
      brokenFrom = from;
    }
  }
  const { each, across } = await judgeSegments(stage, segments, stage.perSecond, brokenFrom);
  const played = segments.flatMap((segment, n): Played[] => {
    const judged = each[n];
    if (judged === undefined) return [];
    const { fault, strikes, answers, fenced, drained, tookMs } = segment;
    return [
      {
        fault: fault.name,
        case: fault.case,
        seed,
        runs: strikes.reduce((sum, strike) => sum + (strike.counts ?? 1), 0),
        ttlMs: stage.ttlMs,
        bounds: fault.bounds,
        ...judged,
        inFlight: strikes.every((strike) => strike.inFlight !== undefined)
          ? strikes.reduce((sum, strike) => sum + (strike.inFlight ?? 0), 0)
          : null,
        answers: answers.times,
        givenUp: answers.givenUp,
        retries: answers.retries,
        fenced,
        unowned: segment.unowned,
        drained,
        figures: worstFigures(strikes),
        tookMs,
      },
    ];
  });
  return { played, across, broken, left: parts.slice(next) };
}

const clean = ({ played, across, broken }: Omit<StackPlayed, 'folder'>): boolean =>
  broken === undefined && Object.keys(across).length === 0 && played.every((one) => one.drained && one.verdict.examples.length === 0);

/** @throws Error when the stack could not be made; what was found, and what broke off on it, is in the result */
export async function playGround(clock: Clock, ground: Ground, parts: readonly Part[], options: PlayOptions): Promise<StackPlayed> {
  const { seed, say } = options;
  const devices = Math.min(options.devices, ground.most?.devices ?? options.devices);
  const perSecond = Math.min(options.perSecond, ground.most?.perSecond ?? options.perSecond);
  const dice = seededDice(seed);
  const nodes = ground.nodes ?? 3;
  const gateways = ground.gateways ?? 2;
  const ttlMs = ground.ttlMs ?? LEASE_TTL_MS;
  const names = [
    ...Array.from({ length: nodes }, (_, n) => `node-${n + 1}`),
    ...Array.from({ length: gateways }, (_, n) => `gateway-${n + 1}`),
  ];
  const proxies = await openProxies({ clock, dice }, ground, names);
  let undo: () => Promise<void> = async () => {};
  try {
    const { result, folder } = await onStack(
      (home) => ({
        dataDir: join(home, 'data'),
        ...(options.distDir === undefined ? {} : { distDir: options.distDir }),
        nodes,
        gateways,
        durable: ground.durable ?? false,
        phones: { arrivals: arrivalsOf(home), args: ['--seed', String(seed), '--latency', '5-40'] },
        env: { PACING: 'off', LEASE_TTL_MS: String(ttlMs), ...ground.env },
        launcherOf: (name) => ground.launcherOf?.(name) ?? [],
        envOf: (name, servers) => {
          const mine = proxies.get(name);
          const own = { REDIS_URL: through(mine?.redis, servers.redisUrl), DATABASE_URL: through(mine?.postgres, servers.databaseUrl) };
          const known = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
          return { ...known, ...ground.envOf?.(name, home, servers) };
        },
      }),
      (stack, home) =>
        playOn({ clock, dice }, stack, home, { seed, devices, messages: Number.MAX_SAFE_INTEGER, burst: 2, say }, (scene) =>
          performAll(parts, { ...scene, ttlMs, perSecond, proxies }, seed),
        ),
      (outcome) => clean(outcome) && !options.keep,
      async (home) => {
        mkdirSync(join(home, 'data'), { recursive: true });
        undo = (await ground.prepare?.(home)) ?? undo;
      },
      () => undo(),
    );
    return { ...result, folder };
  } finally {
    for (const pair of proxies.values()) await Promise.all([pair.redis?.close(), pair.postgres?.close()]);
  }
}
