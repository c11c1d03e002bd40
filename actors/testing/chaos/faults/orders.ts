import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Swap } from '../plants.ts';
import { ORDERS_FILE } from './fault.ts';

/** Test builds that take orders. Each is the product but for one place. */

/** A node whose event loop stands still for the ms in its orders file when it gets SIGUSR2. */
export const BLOCKABLE: Swap = {
  name: 'a node that can be told to stand still',
  in: (path) => path === 'actors/main.js',
  from: /^main\(\)\.catch/m,
  to: `process.on('SIGUSR2', () => { const ms = Number(process.getBuiltinModule('node:fs').readFileSync(process.env['${ORDERS_FILE}'], 'utf8')); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms); });\nmain().catch`,
  atLeast: 1,
};

/** A node that hears only a share of the doorbells: CHAOS_BELL_LOSS, 0 to 1. */
export const DEAF: Swap = {
  name: 'lost doorbells',
  in: (path) => path === 'actors/node/bells.js',
  from: /const kind = text\.charAt\(0\);/,
  to: `if (Math.random() < Number(process.env['CHAOS_BELL_LOSS'])) return;\n const kind = text.charAt(0);`,
  atLeast: 1,
};

/** The recipient whose message ends the process that sends it; the sender's own recipients begin with +1415555. */
export const DEADLY = '+14165559666';

export const MORTAL: Swap = {
  name: 'a message that ends its node',
  in: (path) => path === 'actors/transports/simulator/pipe.js',
  from: /\/\* hold point \*\/ socket\.write/,
  to: `if (bytes.includes('${DEADLY}')) process.kill(process.pid, 'SIGKILL');\n /* hold point */ socket.write`,
  atLeast: 1,
};

export function orderBlock(folder: string, node: string, ms: number): void {
  writeFileSync(join(folder, `orders-${node}`), String(ms));
}
