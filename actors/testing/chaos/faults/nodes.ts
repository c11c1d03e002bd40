import type { StackNode } from '../../../../ops/start/index.ts';
import { ownedBy, strikeNodes, takenOver, until } from '../scene.ts';
import type { Fault, Stage, Strike } from './fault.ts';
import { ORDERED, PLAIN, SHORT_LEASE } from './grounds.ts';
import { writeOrders } from './orders.ts';

/** Faults of node and gateway processes. */
const TAKEOVER_EXTRA_MS = 1500;
const BALANCE_MS = 2500;
const NODES = 3;

/** The nodes of this strike: another start each time. */
function chosen(stage: Stage, count: number): StackNode[] {
  const nodes = stage.stack.nodes.slice(0, NODES);
  return Array.from({ length: count }, (_, n) => nodes[(stage.turn * count + n) % nodes.length]).filter((node) => node !== undefined);
}

async function kill(stage: Stage, count: number): Promise<Strike> {
  const nodes = chosen(stage, count);
  const struck = await strikeNodes(stage, nodes, 'SIGKILL');
  await takenOver(stage, struck, stage.ttlMs * 3);
  await Promise.all(nodes.map((node) => node.restart()));
  return { ...struck, healedAt: stage.clock.wall() };
}

export const KILL: Fault = {
  name: 'kill',
  case: '2',
  what: 'SIGKILL of one node in the middle of turns',
  ground: PLAIN,
  strikes: 25,
  restMs: BALANCE_MS,
  bounds: { takeoverExtraMs: TAKEOVER_EXTRA_MS, repeatsInFlight: true },
  strike: (stage) => kill(stage, 1),
};

export const KILL_TWO: Fault = {
  name: 'kill-two',
  case: '2',
  what: 'SIGKILL of two of three nodes at once',
  ground: PLAIN,
  strikes: 10,
  restMs: BALANCE_MS,
  bounds: { takeoverExtraMs: TAKEOVER_EXTRA_MS, repeatsInFlight: true },
  strike: (stage) => kill(stage, 2),
};

/** A node that began anew is given devices only after a while: members must have stayed the same, and devices where they are. */
const FAIR_MS = 75_000;
const FAIR_SHARE = 1.35;
const ENDED_MS = 30_000;

/** Waits until no node has many more devices than its share. */
async function balanced({ clock, ledger, deviceIds }: Stage): Promise<boolean> {
  return until(clock, FAIR_MS, async () => {
    const counts = new Map<string, number>();
    for (const { node } of await ledger.owned()) counts.set(node ?? '', (counts.get(node ?? '') ?? 0) + 1);
    return Math.max(...counts.values()) <= (deviceIds.length / NODES) * FAIR_SHARE;
  });
}

export const ROLLING: Fault = {
  name: 'rolling',
  case: '1',
  what: `SIGTERM and a new start of each node in turn, and of a gateway; gap: of messages of its devices accepted until the node had ended; between two, up to ${FAIR_MS / 1000} s for the devices to spread again`,
  ground: PLAIN,
  strikes: 12,
  atLeast: NODES,
  bounds: { fullRateMs: 10_000, gapP99Ms: 1000 },
  async strike(stage) {
    const { clock, stack, ledger } = stage;
    const [node] = chosen(stage, 1);
    const gateway = stack.gateways[stage.turn % stack.gateways.length];
    if (node === undefined) throw new Error('no node');
    if (stage.turn > 0) await balanced(stage);
    const devices = new Set((await ownedBy(ledger, node.id)).keys());
    const at = clock.wall();
    node.kill('SIGTERM');
    if (!(await until(clock, ENDED_MS, async () => !node.running()))) throw new Error(`${node.name} does not end`);
    const endedAt = clock.wall();
    stage.say(`${node.name} gave ${devices.size} devices away and ended in ${endedAt - at} ms`);
    await node.restart();
    await gateway?.restart();
    return {
      at,
      healedAt: clock.wall(),
      handed: { devices, until: endedAt },
      figures: { handedOver: devices.size, endedMs: endedAt - at },
    };
  },
};

/** Two of three nodes stand still at once, the third takes over: two pauses. One in eight is shorter than the lease and is not counted. */
const PAUSES = [1.025, 1.5, 1.025, 3, 1.025, 1.5, 1.025, 0.5];
export const PAUSE: Fault = {
  name: 'pause',
  case: '3',
  what: `SIGSTOP of two nodes for ${[...new Set(PAUSES)].join(', ')} TTL (2 s here), then SIGCONT; those longer than the TTL count`,
  ground: SHORT_LEASE,
  strikes: 100,
  restMs: 1000,
  bounds: {},
  async strike(stage) {
    const { clock, ttlMs } = stage;
    const nodes = chosen(stage, 2);
    const share = PAUSES[stage.turn % PAUSES.length] ?? 1;
    const struck = await strikeNodes(stage, nodes, 'SIGSTOP');
    await clock.sleep(Math.max(0, struck.at + share * ttlMs - clock.wall()));
    for (const node of nodes) node.kill('SIGCONT');
    const healedAt = clock.wall();
    return {
      at: struck.at,
      healedAt,
      inFlight: struck.inFlight,
      counts: share > 1 ? nodes.length : 0,
      figures: { pausedMs: healedAt - struck.at },
    };
  },
};

export const BLOCK_LOOP: Fault = {
  name: 'block-loop',
  case: '4',
  what: "a node's event loop stands still for half a TTL, or for two (a test build)",
  ground: ORDERED,
  strikes: 10,
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, ttlMs, folder } = stage;
    const nodes = chosen(stage, 1);
    const lastsMs = stage.turn % 2 === 0 ? ttlMs * 2 : ttlMs / 2;
    for (const node of nodes) writeOrders(folder, node.id, { block: lastsMs });
    const struck = await strikeNodes(stage, nodes, 'SIGUSR2');
    await clock.sleep(Math.max(0, struck.at + lastsMs - clock.wall()));
    return { at: struck.at, healedAt: clock.wall(), inFlight: struck.inFlight };
  },
};

const KILLS = 7;
export const REPEATED_KILLS: Fault = {
  name: 'repeated_kills',
  case: '16, public matrix',
  what: `one node killed and started again every 5 s, ${KILLS} times in a row: three runs are the case's 20`,
  ground: PLAIN,
  strikes: 10,
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, stack, ledger } = stage;
    const node = stack.nodes[0];
    const healthy = new Map((await ledger.owned()).filter((row) => row.node !== node?.id).map((row) => [row.deviceId, row.node]));
    const at = clock.wall();
    for (let n = 0; n < KILLS; n++) {
      node?.kill('SIGKILL');
      await clock.sleep(500);
      await node?.restart();
      await clock.sleep(Math.max(0, at + (n + 1) * 5000 - clock.wall()));
    }
    const hops = (await ledger.owned()).filter((row) => healthy.has(row.deviceId) && healthy.get(row.deviceId) !== row.node).length;
    return { at, healedAt: clock.wall(), figures: { healthyDevices: healthy.size, healthyThatMoved: hops } };
  },
};

export const CRASH_RECOVERY: Fault = {
  name: 'crash_recovery',
  case: 'public matrix',
  what: 'SIGKILL of every node and gateway at once, then a new start of all',
  ground: PLAIN,
  strikes: 10,
  bounds: { fullRateMs: 15_000 },
  async strike(stage) {
    const { clock, stack } = stage;
    const all = [...stack.nodes.slice(0, NODES), ...stack.gateways];
    const at = clock.wall();
    for (const process of all) process.kill('SIGKILL');
    await clock.sleep(500);
    await Promise.all(all.map((process) => process.restart()));
    return { at, healedAt: clock.wall() };
  },
};

export const GATEWAY_KILL: Fault = {
  name: 'gateway-kill',
  case: '13',
  what: 'SIGKILL of a gateway under load, then a new start',
  ground: PLAIN,
  strikes: 10,
  bounds: { fullRateMs: 5_000 },
  async strike(stage) {
    const { clock, stack } = stage;
    const gateway = stack.gateways[stage.turn % stack.gateways.length];
    const at = clock.wall();
    gateway?.kill('SIGKILL');
    await until(clock, 2000, () => gateway?.running() === false);
    await clock.sleep(1500);
    await gateway?.restart();
    return { at, healedAt: clock.wall() };
  },
};

const JOINING = 7;
const JOINED_MS = 150_000;
/** 3 nodes become 10 and 3 again. */
export const SCALE: Fault = {
  name: 'scale',
  case: '15',
  what: `3 nodes become ${NODES + JOINING} at once, are given half of their share in at most ${JOINED_MS / 1000} s, and are 3 again by SIGTERM: no device moves more than twice on average`,
  ground: PLAIN,
  atMost: 1,
  bounds: { fullRateMs: 10_000, figures: { movesPercent: 200, notJoined: 0 } },
  async strike(stage) {
    const { clock, stack, ledger, deviceIds, say } = stage;
    const epochs = async (): Promise<number> => (await ledger.owned()).reduce((sum, row) => sum + row.epoch, 0);
    const at = clock.wall();
    const before = await epochs();
    const extra = await Promise.all(Array.from({ length: JOINING }, () => stack.addNode()));
    const names = new Set(extra.map((node) => node.id));
    const fair = (deviceIds.length * JOINING) / (NODES + JOINING);
    const theirs = async (): Promise<number> => (await ledger.owned()).filter((row) => names.has(row.node ?? '')).length;
    const joined = await until(clock, JOINED_MS, async () => (await theirs()) >= fair / 2);
    say(`${await theirs()} devices at the ${JOINING} new nodes after ${clock.wall() - at} ms, their share is ${fair}`);
    const middle = await epochs();
    for (const node of extra) node.kill('SIGTERM');
    await until(clock, 15_000, () => extra.every((node) => !node.running()));
    const after = await epochs();
    say(`${middle - before} moves when they joined, ${after - middle} when they left, of ${deviceIds.length} devices`);
    return {
      at,
      healedAt: clock.wall(),
      figures: { movesPercent: Math.round(((after - before) / deviceIds.length) * 100), notJoined: joined ? 0 : 1 },
    };
  },
};

export const NODE_FAULTS: readonly Fault[] = [ROLLING, KILL, KILL_TWO, REPEATED_KILLS, CRASH_RECOVERY, GATEWAY_KILL];
