import { BELLS_HALF_LOST, BELLS_LOST, POISON, POISON_NODE } from './devices.ts';
import type { Fault } from './fault.ts';
import { CLOCK_STEP, DISK_FULL } from './machine.ts';
import { BLOCK_LOOP, CRASH_RECOVERY, GATEWAY_KILL, KILL, KILL_TWO, PAUSE, REPEATED_KILLS, ROLLING } from './nodes.ts';
import { BLOCKABLE } from './orders.ts';
import { POSTGRES_FAULTS } from './postgres.ts';
import { REDIS_FAULTS } from './redis.ts';

export { type Fault, ORDERS_FILE, type Proxies, type Stage, type Strike } from './fault.ts';

/** In the order in which `all` plays them. */
export const FAULTS: readonly Fault[] = [
  KILL,
  ROLLING,
  KILL_TWO,
  PAUSE,
  { ...BLOCK_LOOP, needs: { ...BLOCK_LOOP.needs, swaps: [BLOCKABLE] } },
  ...REDIS_FAULTS,
  ...POSTGRES_FAULTS,
  REPEATED_KILLS,
  CRASH_RECOVERY,
  BELLS_LOST,
  BELLS_HALF_LOST,
  CLOCK_STEP,
  POISON,
  POISON_NODE,
  DISK_FULL,
  GATEWAY_KILL,
];

export { soak } from './soak.ts';
