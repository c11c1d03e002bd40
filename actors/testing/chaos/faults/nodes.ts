import type { StackNode } from '../../../../ops/start/index.ts';
import { strikeNodes, takenOver, until } from '../scene.ts';
import { type Fault, ORDERS_FILE, type Stage, type Strike } from './fault.ts';
import { orderBlock } from './orders.ts';

/** Faults of node and gateway processes. */
const TAKEOVER_EXTRA_MS = 1500;
const BALANCE_MS = 4000;

/** The nodes of this strike: another start each time. */
function chosen(stage: Stage, count: number): StackNode[] {
  const { nodes } = stage.stack;
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
  what: 'SIGKILL of one node in the middle of turns',
  strikes: 5,
  restMs: BALANCE_MS,
  bounds: { takeoverExtraMs: TAKEOVER_EXTRA_MS, repeatsInFlight: true },
  strike: (stage) => kill(stage, 1),
};

export const KILL_TWO: Fault = {
  name: 'kill-two',
  what: 'SIGKILL of two of three nodes at once',
  strikes: 3,
  restMs: BALANCE_MS,
  bounds: { takeoverExtraMs: TAKEOVER_EXTRA_MS, repeatsInFlight: true },
  strike: (stage) => kill(stage, 2),
};

export const ROLLING: Fault = {
  name: 'rolling',
  what: 'SIGTERM and a new start of each node and gateway in turn',
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, stack } = stage;
    const at = clock.wall();
    for (const process of [...stack.nodes, ...stack.gateways]) {
      const began = clock.wall();
      await process.restart();
      stage.say(`${process.name} ended and started again in ${clock.wall() - began} ms`);
      await clock.sleep(2000);
    }
    return { at, healedAt: clock.wall() };
  },
};

/** Two nodes stand still at once; the third takes over. One in five pauses is shorter than the lease and is not counted. */
export const PAUSE: Fault = {
  name: 'pause',
  what: 'SIGSTOP of two nodes for 1x and 3x TTL (counted), now and then 0.5x (not counted), then SIGCONT',
  needs: { ttlMs: 2000, env: { LEASE_RENEW_MS: '500', LEASE_MARGIN_MS: '300' } },
  strikes: 12,
  restMs: 1500,
  bounds: {},
  async strike(stage) {
    const { clock, ttlMs } = stage;
    const nodes = chosen(stage, 2);
    const short = stage.turn % 6 === 5;
    const lastsMs = short ? ttlMs / 2 : stage.turn % 2 === 0 ? ttlMs + 50 : ttlMs * 3;
    const struck = await strikeNodes(stage, nodes, 'SIGSTOP');
    await clock.sleep(Math.max(0, struck.at + lastsMs - clock.wall()));
    for (const node of nodes) node.kill('SIGCONT');
    const healedAt = clock.wall();
    return {
      at: struck.at,
      healedAt,
      inFlight: struck.inFlight,
      counts: short ? 0 : nodes.length,
      figures: { pausedMs: healedAt - struck.at },
    };
  },
};

export const BLOCK_LOOP: Fault = {
  name: 'block-loop',
  what: "a node's event loop stands still for half a TTL, then for two",
  needs: { ttlMs: 3000, env: { LEASE_RENEW_MS: '800' }, envOf: (name, folder) => ({ [ORDERS_FILE]: `${folder}/orders-${name}` }) },
  strikes: 2,
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, ttlMs } = stage;
    const nodes = chosen(stage, 1);
    const lastsMs = stage.turn % 2 === 0 ? ttlMs / 2 : ttlMs * 2;
    for (const node of nodes) orderBlock(stage.folder, node.id, lastsMs);
    const struck = await strikeNodes(stage, nodes, 'SIGUSR2');
    await clock.sleep(Math.max(0, struck.at + lastsMs - clock.wall()));
    return { at: struck.at, healedAt: clock.wall(), inFlight: struck.inFlight };
  },
};

export const REPEATED_KILLS: Fault = {
  name: 'repeated_kills',
  what: 'one node killed and started again every 5 s, four times',
  bounds: { fullRateMs: 10_000 },
  async strike(stage) {
    const { clock, stack, ledger } = stage;
    const node = stack.nodes[0];
    const healthy = new Map((await ledger.owned()).filter((row) => row.node !== node?.id).map((row) => [row.deviceId, row.node]));
    const at = clock.wall();
    for (let n = 0; n < 4; n++) {
      node?.kill('SIGKILL');
      await clock.sleep(500);
      await node?.restart();
      await clock.sleep(4500);
    }
    const hops = (await ledger.owned()).filter((row) => healthy.has(row.deviceId) && healthy.get(row.deviceId) !== row.node).length;
    return { at, healedAt: clock.wall(), figures: { healthyDevices: healthy.size, healthyThatMoved: hops } };
  },
};

export const CRASH_RECOVERY: Fault = {
  name: 'crash_recovery',
  what: 'SIGKILL of every node and gateway at once, then a new start of all',
  bounds: { fullRateMs: 15_000 },
  async strike(stage) {
    const { clock, stack } = stage;
    const all = [...stack.nodes, ...stack.gateways];
    const at = clock.wall();
    for (const process of all) process.kill('SIGKILL');
    await clock.sleep(500);
    await Promise.all(all.map((process) => process.restart()));
    return { at, healedAt: clock.wall() };
  },
};

export const GATEWAY_KILL: Fault = {
  name: 'gateway-kill',
  what: 'SIGKILL of a gateway under load, then a new start',
  strikes: 3,
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
