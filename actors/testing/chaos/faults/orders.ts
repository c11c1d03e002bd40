import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StackNode } from '../../../../ops/start/index.ts';
import type { Swap } from '../plants.ts';

/**
 * A test build that takes orders: the product but for these places, and the same as the product until an order comes. A node reads its
 * orders file when it gets SIGUSR2; what it says stands until the next order.
 */
export const ORDERS_FILE = 'CHAOS_ORDERS_FILE';
/** The version that a node of the test build says it is. */
export const VERSION_ENV = 'CHAOS_VERSION';

export interface Orders {
  /** the event loop stands still for so many ms, once */
  readonly block?: number;
  /** the turn of this device never ends */
  readonly wedge?: string;
  /** share of the doorbells that is not heard */
  readonly deaf?: number;
  /** each doorbell is heard so many times */
  readonly echo?: number;
}

/** The recipient whose message ends the process that sends it, and the one whose message never lets it go on; the sender's own
 * recipients begin with +1415555. */
export const DEADLY = '+14165559666';
export const ENDLESS = '+14165559777';

export const RIGGED: readonly Swap[] = [
  {
    name: 'a node that takes orders',
    in: (path) => path === 'actors/main.js',
    from: /^main\(\)\.catch/m,
    to: `process.on('SIGUSR2', () => { const orders = JSON.parse(process.getBuiltinModule('node:fs').readFileSync(process.env['${ORDERS_FILE}'], 'utf8')); globalThis.chaosOrders = orders; if (orders.block) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, orders.block); });\nmain().catch`,
    atLeast: 1,
  },
  {
    name: 'doorbells that are lost or ring often',
    in: (path) => path === 'actors/node/bells.js',
    from: /const kind = text\.charAt\(0\);\n\s*const deviceId = text\.slice\(1\);/,
    to: `if (Math.random() < (globalThis.chaosOrders?.deaf ?? 0)) return;\n const kind = text.charAt(0);\n const deviceId = text.slice(1);\n for (let ring = 1; ring < (globalThis.chaosOrders?.echo ?? 1); ring++) if (kind === BELL.work || kind === BELL.behind) handlers.work(deviceId);\n`,
    atLeast: 1,
  },
  {
    name: 'a message that ends its node, one that never lets it go on',
    in: (path) => path === 'actors/transports/simulator/pipe.js',
    from: /\/\* hold point \*\/ socket\.write/,
    to: `if (bytes.includes('${DEADLY}')) process.kill(process.pid, 'SIGKILL');\n while (bytes.includes('${ENDLESS}'));\n /* hold point */ socket.write`,
    atLeast: 1,
  },
  {
    name: 'a turn that never ends',
    in: (path) => path === 'actors/device/actor.js',
    from: /const turn = async \(\)(?:: Promise<boolean>)? => \{/,
    to: `const turn = async () => {\n if (globalThis.chaosOrders?.wedge === self.deviceId) await new Promise(() => {});`,
    atLeast: 1,
  },
  {
    name: 'a watchdog that need not be waited for',
    in: (path) => path === 'actors/node/host.js',
    from: /const TURN_SLACK_MS = 30_?000;/,
    to: 'const TURN_SLACK_MS = 3000;',
    atLeast: 1,
  },
  {
    name: 'a version of its own',
    in: (path) => path === 'actors/main.js',
    from: /version: VERSION,/,
    to: `version: process.env['${VERSION_ENV}'] ?? VERSION,`,
    atLeast: 1,
  },
];

export const ordersFile = (folder: string, node: string): string => join(folder, `orders-${node}`);

/** Writes the orders; they count when the node gets SIGUSR2. */
export function writeOrders(folder: string, node: string, orders: Orders): void {
  writeFileSync(ordersFile(folder, node), JSON.stringify(orders));
}

/** Gives orders now. */
export function order(folder: string, nodes: readonly StackNode[], orders: Orders): void {
  for (const node of nodes) {
    writeOrders(folder, node.id, orders);
    node.kill('SIGUSR2');
  }
}
