import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import { type Api, ask, ensureDevices, type Stack, type StackNode, type StackOptions, startStack } from '../../../ops/start/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import { createJudge, readArrivals, type Verdict } from '../checker/index.ts';
import { type LedgerView, viewLedger } from './ledger.ts';
import { createSender, type Sender } from './sender.ts';

/**
 * What every chaos run is played on: a stack in a folder of its own, its devices connected, a view of the ledger and a client of the API;
 * with the ways to strike a node in the middle of its turns and to judge what came of it. Owns the stack and the folder.
 */
export interface Scene {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly stack: Stack;
  readonly ledger: LedgerView;
  readonly sender: Sender;
  /** as the ledger knows them */
  readonly deviceIds: readonly string[];
  readonly folder: string;
  /** messages a device is given right before a strike */
  readonly burst: number;
  readonly say: (line: string) => void;
}

/** A strike at a node, as the takeover watch and the bound of repeats need it. */
export interface Struck {
  /** wall ms */
  readonly at: number;
  /** devices of the node and the epochs it had them under */
  readonly owned: ReadonlyMap<string, number>;
  /** messages whose outcome was open */
  readonly inFlight: number;
}

/** Time for statements that Postgres already had to end, before in-flight messages are counted. */
export const SETTLE_STATEMENTS_MS = 150;
/** A fault strikes when this share of the devices is in a turn, or after the wait. */
const BUSY_SHARE = 0.25;
const BUSY_WAIT_MS = 2000;
const CONNECT_MS = 60_000;
const ASK_MS = 30_000;
const MAKE_MS = 180_000;

export const arrivalsOf = (folder: string): string => join(folder, 'arrivals.ndjson');

/** Asks every 100 ms. @returns the last answer */
export async function until(clock: Clock, ms: number, check: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = clock.monotonic() + ms; clock.monotonic() < end; await clock.sleep(100)) if (await check()) return true;
  return check();
}

/** Asks the API as a client should: again while it says that it is not available. @throws Error of the last time, after 30 s */
export async function askAgain<T>(clock: Clock, api: Api, query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<T> {
  for (const end = clock.monotonic() + ASK_MS; ; await clock.sleep(300)) {
    try {
      return await ask<T>(api, query, variables);
    } catch (error) {
      if (clock.monotonic() > end) throw error;
    }
  }
}

export const ownedBy = async (ledger: LedgerView, node: string): Promise<Map<string, number>> =>
  new Map((await ledger.owned()).filter((row) => row.node === node).map((row) => [row.deviceId, row.epoch]));

/** The node that owns most devices now. @throws Error when none owns any */
export async function busiest({ ledger, stack }: Scene): Promise<StackNode> {
  const counts = new Map<string, number>();
  for (const { node } of await ledger.owned()) if (node !== null) counts.set(node, (counts.get(node) ?? 0) + 1);
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  const found = stack.nodes.find((node) => node.id === most?.[0]);
  if (found === undefined) throw new Error('no node owns anything');
  return found;
}

/** A burst to these devices; resolves at a moment when many of them are in the middle of a turn. */
export async function inTheMiddle(scene: Scene, deviceIds: readonly string[]): Promise<{ readonly answered: Promise<void> }> {
  const { clock, ledger, sender } = scene;
  const answered = sender.burst(deviceIds, scene.burst);
  // a run that breaks off in between must not end the process through this promise as well
  answered.catch(() => {});
  const busy = async (): Promise<boolean> => (await ledger.inFlight(deviceIds)) >= deviceIds.length * BUSY_SHARE;
  for (const end = clock.monotonic() + BUSY_WAIT_MS; clock.monotonic() < end && !(await busy()); );
  return { answered };
}

/**
 * Strikes nodes in the middle of their turns, then leaves one message waiting at each of their devices, so that a successor shows itself.
 * @param meanwhile what else happens at that moment
 */
export async function strikeNodes(
  scene: Scene,
  nodes: readonly StackNode[],
  signal: 'SIGKILL' | 'SIGSTOP' | 'SIGUSR2',
  meanwhile: () => Promise<void> = async () => {},
): Promise<Struck> {
  const { clock, ledger, sender } = scene;
  const ids = new Set(nodes.map((node) => node.id));
  const theirs = async (): Promise<Map<string, number>> =>
    new Map((await ledger.owned()).filter((row) => ids.has(row.node ?? '')).map((row) => [row.deviceId, row.epoch]));
  const { answered } = await inTheMiddle(scene, [...(await theirs()).keys()]);
  const at = clock.wall();
  for (const node of nodes) node.kill(signal);
  await meanwhile();
  await clock.sleep(SETTLE_STATEMENTS_MS);
  // the rows of a struck node stay its own for at least the rest of its lease
  const owned = await theirs();
  const inFlight = await ledger.inFlight([...owned.keys()]);
  await answered;
  await sender.burst([...owned.keys()], 1);
  scene.say(`${signal} ${[...ids].join(', ')}: ${owned.size} devices owned, ${inFlight} messages in flight`);
  return { at, owned, inFlight };
}

/** True once every one of these devices has a newer owner. Counts first: thousands of rows ten times a second would slow the takeover that is watched. */
export async function takenOver(scene: Scene, struck: Struck, ms: number): Promise<boolean> {
  const moved = async (): Promise<boolean> => {
    if ((await scene.ledger.ownedSince(struck.at)) < struck.owned.size) return false;
    const rows = await scene.ledger.owned();
    return rows.every(({ deviceId, epoch, node }) => (struck.owned.get(deviceId) ?? -1) < epoch && node !== null);
  };
  const done = await until(scene.clock, ms, moved);
  scene.say(done ? `all taken over after ${scene.clock.wall() - struck.at} ms` : `not all taken over after ${ms} ms`);
  return done;
}

/** Waits until every message has ended; says how many are left now and then. */
export async function drain(scene: Scene, ms: number): Promise<boolean> {
  const { clock, ledger, say } = scene;
  let said = clock.monotonic();
  return until(clock, ms, async () => {
    const open = await ledger.open().catch(() => Number.NaN);
    if (clock.monotonic() - said > 5000) {
      said = clock.monotonic();
      say(`${open} messages open`);
    }
    return open === 0;
  });
}

/**
 * Judges the run by the ledger and the phones' file.
 * @param watches see each arrival in the order of the file @param spared messages that were meant to fail: not judged
 */
export async function judge(
  scene: Scene,
  watches: readonly { arrival(arrival: Arrival): void }[],
  spared: (deviceId: string) => boolean = () => false,
): Promise<Verdict> {
  const judged = createJudge();
  const left = new Set<string>();
  await scene.ledger.rows((row) => {
    if (spared(row.device)) left.add(row.id);
    else judged.ledger(row);
  });
  for (const id of scene.sender.answered) if (!left.has(id)) judged.answered(id);
  for await (const arrival of readArrivals(arrivalsOf(scene.folder))) {
    if (left.has(arrival.id)) continue;
    judged.arrival(arrival);
    for (const watch of watches) watch.arrival(arrival);
  }
  return judged.verdict();
}

export interface SceneOptions {
  readonly seed: number;
  readonly devices: number;
  /** budget of the sender */
  readonly messages: number;
  readonly burst: number;
  readonly say: (line: string) => void;
}

/** A busy machine may need more than one try; what was made is found again. */
async function devicesOf(clock: Clock, api: Api, count: number): Promise<readonly string[]> {
  for (const end = clock.monotonic() + MAKE_MS; ; ) {
    try {
      return await ensureDevices(api, count);
    } catch (error) {
      if (clock.monotonic() > end) throw error;
      await clock.sleep(500);
    }
  }
}

/** Waits for the devices, plays, and closes what it opened. */
export async function playOn<T>(
  deps: { readonly clock: Clock; readonly dice: Dice },
  stack: Stack,
  folder: string,
  options: SceneOptions,
  play: (scene: Scene) => Promise<T>,
): Promise<T> {
  const { clock, dice } = deps;
  const gateways = stack.gateways.map((gateway) => gateway.url);
  const api = { url: gateways[0] ?? '', key: stack.adminKey };
  // `Device:uuid`: the ledger knows the uuid
  const deviceIds = (await devicesOf(clock, api, options.devices)).map((id) => id.slice(-36));
  const connected = async (): Promise<boolean> =>
    (await ask<{ fleet: { connected: number } }>(api, '{ fleet { connected } }')).fleet.connected === options.devices;
  if (!(await until(clock, CONNECT_MS, connected))) throw new Error(`not all devices are connected after ${CONNECT_MS / 1000} s`);
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
  try {
    return await play({ clock, dice, stack, ledger, sender, deviceIds, folder, burst: options.burst, say: options.say });
  } finally {
    sender.abandon();
    await ledger.close();
  }
}

/**
 * Starts a stack in a new folder, plays, stops it. The folder is removed when `clean` says that nothing needs looking at.
 * @param before the stack starts @param after it stopped, before the folder is removed
 * @returns the result and the folder, when it was kept. @throws Error naming the folder when the run broke off
 */
export async function onStack<T>(
  stackOf: (folder: string) => StackOptions,
  play: (stack: Stack, folder: string) => Promise<T>,
  clean: (result: T) => boolean,
  before: (folder: string) => Promise<void> = async () => {},
  after: () => Promise<void> = async () => {},
): Promise<{ readonly result: T; readonly folder: string | undefined }> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-chaos-'));
  let stack: Stack | undefined;
  let remove = false;
  try {
    await before(folder);
    stack = await startStack(stackOf(folder));
    const result = await play(stack, folder);
    remove = clean(result);
    return { result, folder: remove ? undefined : folder };
  } catch (error) {
    throw new Error(`the run broke off; its folder is ${folder}`, { cause: error });
  } finally {
    await stack?.stop();
    await after();
    if (remove) rmSync(folder, { recursive: true, force: true });
  }
}
