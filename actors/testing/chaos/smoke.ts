import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '../../../ops/connect/index.ts';
import { type Clock, type Dice, seededDice } from '../../../ops/lifecycle/index.ts';
import { ask, ensureDevices, type Stack, type StackNode, startStack } from '../../../ops/start/index.ts';
import { createJudge, readArrivals, type Takeover, type Verdict, watchTakeover } from '../checker/index.ts';
import { type LedgerView, viewLedger } from './ledger.ts';
import { KILL_FILE } from './plants.ts';
import { createSender, type Sender } from './sender.ts';

/**
 * One run of the smoke: a stack of its own, traffic, four faults in a row, and the judgement. Owns the stack and its folder.
 * The faults strike right after a burst to every device concerned, so that most of them are in the middle of a turn.
 */
export interface SmokeOptions {
  readonly distDir: string;
  readonly messages: number;
  readonly devices: number;
  readonly seed: number;
  readonly leaseTtlMs: number;
  readonly stopMs: number;
  /** longest wait for the last message to end */
  readonly settleMs: number;
  /** keep logs, ledger and arrivals; always kept when the verdict finds something */
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

export interface SmokeResult {
  readonly verdict: Verdict;
  /** open attempts at the moments of the faults: as many repeats are allowed */
  readonly inFlightAtFaults: number;
  readonly killed: Takeover;
  readonly stopped: Takeover;
  readonly gatewayDied: boolean;
  readonly apiRetries: number;
  readonly drained: boolean;
  readonly tookMs: number;
  readonly folder: string | undefined;
}

interface Fault {
  readonly at: number;
  readonly owned: ReadonlyMap<string, number>;
  readonly inFlight: number;
}
interface Scene {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly stack: Stack;
  readonly ledger: LedgerView;
  readonly sender: Sender;
  readonly deviceIds: readonly string[];
  readonly options: SmokeOptions;
  readonly killFile: string;
  readonly burst: number;
}

/** Time for statements that Postgres already had to end, before in-flight messages are counted. */
const SETTLE_STATEMENTS_MS = 150;
/** A fault strikes when this share of the devices is in a turn, or after the wait. */
const BUSY_SHARE = 0.25;
const BUSY_WAIT_MS = 2000;

async function until(clock: Clock, ms: number, check: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = clock.monotonic() + ms; clock.monotonic() < end; await clock.sleep(100)) if (await check()) return true;
  return check();
}

const ownedBy = async (ledger: LedgerView, node: string): Promise<Map<string, number>> =>
  new Map((await ledger.owned()).filter((row) => row.node === node).map((row) => [row.deviceId, row.epoch]));

/** A burst to these devices; resolves at a moment when many of them are in the middle of a turn. */
async function inTheMiddle(scene: Scene, deviceIds: readonly string[]): Promise<{ readonly answered: Promise<void> }> {
  const { clock, ledger, sender } = scene;
  const answered = sender.burst(deviceIds, scene.burst);
  const busy = async (): Promise<boolean> => (await ledger.inFlight(deviceIds)) >= deviceIds.length * BUSY_SHARE;
  for (const end = clock.monotonic() + BUSY_WAIT_MS; clock.monotonic() < end && !(await busy()); );
  return { answered };
}

/** Strikes a node in the middle of its turns, then leaves one message waiting at each of its devices, so that its successor shows itself. */
async function strikeNode(scene: Scene, node: StackNode, signal: 'SIGKILL' | 'SIGSTOP'): Promise<Fault> {
  const { clock, ledger, sender } = scene;
  const { answered } = await inTheMiddle(scene, [...(await ownedBy(ledger, node.id)).keys()]);
  const at = clock.wall();
  node.kill(signal);
  await clock.sleep(SETTLE_STATEMENTS_MS);
  // the rows of a struck node stay its own for at least the rest of its lease
  const owned = await ownedBy(ledger, node.id);
  const inFlight = await ledger.inFlight([...owned.keys()]);
  await answered;
  await sender.burst([...owned.keys()], 1);
  scene.options.say(`${signal} ${node.id}: it owned ${owned.size} devices, ${inFlight} messages in flight`);
  return { at, owned, inFlight };
}

/** True once every one of these devices has a newer owner. */
async function takenOver(scene: Scene, fault: Fault, ms: number): Promise<void> {
  const moved = async (): Promise<boolean> => {
    const rows = await scene.ledger.owned();
    return rows.every(({ deviceId, epoch, node }) => (fault.owned.get(deviceId) ?? -1) < epoch && node !== null);
  };
  const done = await until(scene.clock, ms, moved);
  scene.options.say(done ? `all taken over after ${scene.clock.wall() - fault.at} ms` : `not all taken over after ${ms} ms`);
}

async function killGateway(scene: Scene): Promise<boolean> {
  const { clock, stack, options } = scene;
  const running = stack.gateways.filter((gateway) => gateway.running());
  writeFileSync(scene.killFile, '');
  const dead = await until(clock, 15_000, () => running.some((gateway) => !gateway.running()));
  const gateway = running.find((entry) => !entry.running());
  options.say(dead ? `${gateway?.name} died between commit and enqueue` : 'no gateway died');
  if (!dead) rmSync(scene.killFile, { force: true });
  await clock.sleep(1000);
  await gateway?.restart();
  return dead;
}

/** Loses all of Redis while the nodes stand still for a moment, so that what is in flight can be counted exactly. */
async function flushRedis(scene: Scene): Promise<number> {
  const { clock, stack, ledger, deviceIds, options } = scene;
  const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'chaos' });
  const { answered } = await inTheMiddle(scene, deviceIds);
  for (const node of stack.nodes) node.kill('SIGSTOP');
  await clock.sleep(SETTLE_STATEMENTS_MS);
  const inFlight = await ledger.inFlight(deviceIds);
  await redis.flushall();
  for (const node of stack.nodes) node.kill('SIGCONT');
  redis.disconnect();
  await answered;
  options.say(`FLUSHALL with ${inFlight} messages in flight`);
  return inFlight;
}

async function faults(scene: Scene): Promise<{ killed: Fault; stopped: Fault; flushed: number; gatewayDied: boolean }> {
  const { clock, stack, sender, options, dice } = scene;
  const [first, second] = dice.next() < 0.5 ? [stack.nodes[0], stack.nodes[1]] : [stack.nodes[1], stack.nodes[0]];
  if (first === undefined || second === undefined) throw new Error('the smoke needs two nodes');
  await clock.sleep(4000);

  const killed = await strikeNode(scene, first, 'SIGKILL');
  await takenOver(scene, killed, options.leaseTtlMs * 3);
  await clock.sleep(2000);
  const gatewayDied = await killGateway(scene);
  await first.restart();
  options.say(`${first.id} runs again`);
  await clock.sleep(3000);

  const stopped = await strikeNode(scene, second, 'SIGSTOP');
  await clock.sleep(Math.max(0, stopped.at + options.stopMs - clock.wall()));
  second.kill('SIGCONT');
  options.say(`SIGCONT ${second.id} after ${clock.wall() - stopped.at} ms`);
  await takenOver(scene, stopped, options.leaseTtlMs * 2);
  await clock.sleep(3000);

  const flushed = await flushRedis(scene);
  await clock.sleep(2000);
  sender.rate(0);
  return { killed, stopped, flushed, gatewayDied };
}

async function judge(path: string, ledger: LedgerView, answered: ReadonlySet<string>, watched: readonly Fault[]) {
  const judged = createJudge();
  const watches = watched.map((fault) => watchTakeover(fault.owned, fault.at));
  await ledger.rows((row) => judged.ledger(row));
  for (const id of answered) judged.answered(id);
  for await (const arrival of readArrivals(path)) {
    judged.arrival(arrival);
    for (const watch of watches) watch.arrival(arrival);
  }
  return { verdict: judged.verdict(), takeovers: watches.map((watch) => watch.result()) };
}

/** Waits until every message has ended; says how many are left now and then. */
async function drain(scene: Scene): Promise<boolean> {
  const { clock, ledger, options } = scene;
  let said = 0;
  return until(clock, options.settleMs, async () => {
    const open = await ledger.open();
    if (clock.monotonic() - said > 5000) {
      said = clock.monotonic();
      options.say(`${open} messages open`);
    }
    return open === 0;
  });
}

async function play(clock: Clock, stack: Stack, folder: string, options: SmokeOptions): Promise<Omit<SmokeResult, 'tookMs' | 'folder'>> {
  const dice = seededDice(options.seed);
  const gateways = stack.gateways.map((gateway) => gateway.url);
  const api = { url: gateways[0] ?? '', key: stack.adminKey };
  // `Device:uuid`: the ledger knows the uuid
  const deviceIds = (await ensureDevices(api, options.devices)).map((id) => id.slice(-36));
  const connected = async (): Promise<boolean> =>
    (await ask<{ fleet: { connected: number } }>(api, '{ fleet { connected } }')).fleet.connected === options.devices;
  if (!(await until(clock, 60_000, connected))) throw new Error('not all devices are connected after 60 s');
  options.say(`${options.devices} devices connected`);
  const ledger = viewLedger(stack.databaseUrl);
  const sender = createSender(
    { clock, dice },
    {
      total: options.messages,
      deviceIds,
      gateways,
      key: stack.adminKey,
      run: String(options.seed),
      batch: 25,
      concurrency: 8,
    },
  );
  const burst = Math.min(8, Math.max(1, Math.floor((options.messages * 0.1) / options.devices)));
  const scene: Scene = { clock, dice, stack, ledger, sender, deviceIds, options, killFile: join(folder, 'kill-gateway'), burst };
  try {
    sender.rate(Math.max(5, (options.messages * 0.45) / 50));
    const { killed, stopped, flushed, gatewayDied } = await faults(scene);
    options.say(`${sender.made} messages so far, now the rest`);
    await sender.finish();
    const drained = await drain(scene);
    // nothing may arrive after this: whatever is still on its way would be a late stale send
    await clock.sleep(1000);
    const { verdict, takeovers } = await judge(join(folder, 'arrivals.ndjson'), ledger, sender.answered, [killed, stopped]);
    const [killedTakeover, stoppedTakeover] = takeovers;
    if (killedTakeover === undefined || stoppedTakeover === undefined) throw new Error('two faults were watched');
    return {
      verdict,
      inFlightAtFaults: killed.inFlight + stopped.inFlight + flushed,
      killed: killedTakeover,
      stopped: stoppedTakeover,
      gatewayDied,
      apiRetries: sender.retries,
      drained,
    };
  } finally {
    sender.abandon();
    await ledger.close();
  }
}

/** @throws Error when the run could not be made; what the judge finds is in the result */
export async function runSmoke(clock: Clock, options: SmokeOptions): Promise<SmokeResult> {
  const began = clock.monotonic();
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-chaos-'));
  mkdirSync(folder, { recursive: true });
  const stack = await startStack({
    dataDir: join(folder, 'data'),
    distDir: options.distDir,
    nodes: 2,
    gateways: 2,
    phones: { arrivals: join(folder, 'arrivals.ndjson'), args: ['--seed', String(options.seed), '--latency', '5-40'] },
    env: { PACING: 'off', LEASE_TTL_MS: String(options.leaseTtlMs), [KILL_FILE]: join(folder, 'kill-gateway') },
  });
  let clean = false;
  try {
    const result = await play(clock, stack, folder, options);
    clean = result.drained && result.verdict.examples.length === 0 && !options.keep;
    return { ...result, tookMs: clock.monotonic() - began, folder: clean ? undefined : folder };
  } catch (error) {
    throw new Error(`the run broke off; its folder is ${folder}`, { cause: error });
  } finally {
    await stack.stop();
    if (clean) rmSync(folder, { recursive: true, force: true });
  }
}
