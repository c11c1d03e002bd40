import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Dice, seededDice } from '../../../ops/lifecycle/index.ts';
import type { Stack } from '../../../ops/start/index.ts';
import { type Takeover, type Verdict, watchFlow, watchTakeover } from '../checker/index.ts';
import type { Bounds, Fault, Proxies, Stage, Strike } from './faults/fault.ts';
import { createProxy } from './proxy.ts';
import { LEASE_TTL_MS } from './report.ts';
import { arrivalsOf, drain, judge, onStack, playOn, type Scene, until } from './scene.ts';

/**
 * Plays one fault on a stack of its own: a steady load, so many strikes with rests between, a drain, the judgement. Owns the proxies.
 */
export interface PlayOptions {
  /** another build tree; default: that of this checkout */
  readonly distDir: string | undefined;
  readonly devices: number;
  readonly perSecond: number;
  readonly seed: number;
  /** strikes on this stack, at most what the fault allows */
  readonly strikes: number;
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

export interface Played {
  readonly fault: string;
  readonly seed: number;
  /** strikes that count as runs */
  readonly runs: number;
  readonly ttlMs: number;
  readonly bounds: Bounds;
  readonly verdict: Verdict;
  /** null when it could not be counted exactly at each strike */
  readonly inFlight: number | null;
  readonly takeovers: readonly Takeover[];
  /** longest over the strikes; null = never again */
  readonly fullRateMs: number | null;
  readonly latencyP99Ms: number | null;
  readonly stallMs: number;
  readonly answerMs: number;
  readonly retries: number;
  /** writes of former owners that were refused, as the nodes that still run count them */
  readonly fenced: number;
  readonly unowned: number;
  readonly drained: boolean;
  /** the worst over the strikes */
  readonly figures: Readonly<Record<string, number>>;
  readonly tookMs: number;
  readonly folder: string | undefined;
}

const WARM_MS = 3000;
const REST_MS = 3000;
/** Load goes on this long after the last strike: the return to full rate shows in it. */
const AFTER_MS = 5000;
const DRAIN_MS = 120_000;
const OWNED_MS = 15_000;
const FULL_SHARE = 0.9;

async function openProxies(deps: { clock: Clock; dice: Dice }, fault: Fault, names: readonly string[]): Promise<Map<string, Proxies>> {
  const wanted = fault.needs?.proxy;
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
  proxy.target(Number(changed.port));
  changed.port = String(proxy.port);
  return changed.href;
}

async function fencedCount(stack: Stack): Promise<number> {
  let total = 0;
  for (const node of stack.nodes) {
    const text = await fetch(`${node.metricsUrl}/metrics`, { signal: AbortSignal.timeout(3000) }).then(
      (response) => response.text(),
      () => '',
    );
    for (const match of text.matchAll(/^\w*fenced\w*(?:\{[^}]*\})? ([\d.e+]+)/gm)) total += Number(match[1]);
  }
  return total;
}

async function unowned(scene: Scene): Promise<number> {
  const running = new Set(scene.stack.nodes.filter((node) => node.running()).map((node) => node.id));
  let left = 0;
  await until(scene.clock, OWNED_MS, async () => {
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

async function perform(fault: Fault, stage: Omit<Stage, 'turn'>, strikes: number): Promise<Omit<Played, 'tookMs' | 'folder' | 'seed'>> {
  const { clock, sender, perSecond, ttlMs } = stage;
  const done: Strike[] = [];
  sender.rate(perSecond);
  await clock.sleep(WARM_MS);
  for (let turn = 0, counted = 0; counted < strikes && turn < strikes * 2; turn++) {
    if (turn > 0) await clock.sleep(fault.restMs ?? REST_MS);
    const strike = await fault.strike({ ...stage, turn });
    counted += strike.counts ?? 1;
    done.push(strike);
  }
  await clock.sleep(AFTER_MS);
  const loadedUntil = clock.wall();
  await sender.stop();
  const drained = await drain(stage, DRAIN_MS);
  const left = await unowned(stage);
  // nothing may arrive after this: whatever is still on its way would be a late stale send
  await clock.sleep(1000);
  const spared = new Set(done.flatMap((strike) => strike.spared ?? []));
  const flow = watchFlow();
  const watches = done.flatMap(({ owned, at }) => (owned === undefined ? [] : [watchTakeover(owned, at)]));
  const verdict = await judge(stage, [flow, ...watches], (device) => spared.has(device));
  const flowed = flow.result(loadedUntil);
  const backs = done.map(({ healedAt }) => flowed.fullRateAfter(healedAt, perSecond * FULL_SHARE));
  const inFlight = done.every((strike) => strike.inFlight !== undefined)
    ? done.reduce((sum, strike) => sum + (strike.inFlight ?? 0), 0)
    : null;
  return {
    fault: fault.name,
    runs: done.reduce((sum, strike) => sum + (strike.counts ?? 1), 0),
    ttlMs,
    bounds: fault.bounds,
    verdict,
    inFlight,
    takeovers: watches.map((watch) => watch.result()),
    fullRateMs: backs.includes(null) ? null : Math.max(...backs.map(Number)),
    latencyP99Ms: flowed.latencyP99Ms,
    stallMs: flowed.stallMs,
    answerMs: Math.round(sender.slowestAnswerMs),
    retries: sender.retries,
    fenced: await fencedCount(stage.stack),
    unowned: left,
    drained,
    figures: worstFigures(done),
  };
}

/** @throws Error when the run could not be made; what was found is in the result */
export async function playFault(clock: Clock, fault: Fault, options: PlayOptions): Promise<Played> {
  const began = clock.monotonic();
  const { seed, devices, perSecond, say } = options;
  const dice = seededDice(seed);
  const needs = fault.needs ?? {};
  const nodes = needs.nodes ?? 3;
  const gateways = needs.gateways ?? 2;
  const ttlMs = needs.ttlMs ?? LEASE_TTL_MS;
  const names = [
    ...Array.from({ length: nodes }, (_, n) => `node-${n + 1}`),
    ...Array.from({ length: gateways }, (_, n) => `gateway-${n + 1}`),
  ];
  const proxies = await openProxies({ clock, dice }, fault, names);
  let undo: () => Promise<void> = async () => {};
  try {
    const { result, folder } = await onStack(
      (home) => ({
        dataDir: join(home, 'data'),
        ...(options.distDir === undefined ? {} : { distDir: options.distDir }),
        nodes,
        gateways,
        durable: needs.durable ?? false,
        phones: { arrivals: arrivalsOf(home), args: ['--seed', String(seed), '--latency', '5-40'] },
        env: { PACING: 'off', LEASE_TTL_MS: String(ttlMs), ...needs.env },
        envOf: (name, servers) => {
          const mine = proxies.get(name);
          const own = { REDIS_URL: through(mine?.redis, servers.redisUrl), DATABASE_URL: through(mine?.postgres, servers.databaseUrl) };
          const known = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
          return { ...known, ...needs.envOf?.(name, home) };
        },
      }),
      (stack, home) =>
        playOn({ clock, dice }, stack, home, { seed, devices, messages: Number.MAX_SAFE_INTEGER, burst: 3, say }, (scene) =>
          perform(fault, { ...scene, ttlMs, perSecond, proxies }, options.strikes),
        ),
      ({ drained, verdict }) => drained && verdict.examples.length === 0 && !options.keep,
      async (home) => {
        mkdirSync(join(home, 'data'), { recursive: true });
        undo = (await fault.prepare?.(home)) ?? undo;
      },
      () => undo(),
    );
    return { ...result, seed, tookMs: clock.monotonic() - began, folder };
  } finally {
    for (const pair of proxies.values()) await Promise.all([pair.redis?.close(), pair.postgres?.close()]);
  }
}
