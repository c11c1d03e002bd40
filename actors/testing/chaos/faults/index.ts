import { COLD_START, HOT_DEVICE } from './busy.ts';
import { DEVICE_FAULTS } from './devices.ts';
import { failoverFault } from './failover.ts';
import type { Fault } from './fault.ts';
import { MACHINE_FAULTS, redisClockFault } from './machine.ts';
import { mastersFault } from './masters.ts';
import { namespaceFault } from './namespace.ts';
import { BLOCK_LOOP, NODE_FAULTS, PAUSE, SCALE } from './nodes.ts';
import { POSTGRES_DURABLE, POSTGRES_PLAIN, POSTGRES_PROXIED } from './postgres.ts';
import { REDIS_DURABLE, REDIS_PLAIN, REDIS_PROXIED } from './redis.ts';
import { VERSIONS } from './versions.ts';

export type { Fault, Ground, Proxies, Stage, Strike } from './fault.ts';
export { soak } from './soak.ts';

/** In the order in which `all` plays them. Faults that own servers are made anew for each call. */
export const allFaults = (): readonly Fault[] => [
  ...NODE_FAULTS,
  ...REDIS_PLAIN,
  ...POSTGRES_PLAIN,
  // last on its stack: its nodes stay in the list of the stack
  SCALE,
  PAUSE,
  ...REDIS_DURABLE,
  ...POSTGRES_DURABLE,
  ...REDIS_PROXIED,
  ...POSTGRES_PROXIED,
  failoverFault(),
  namespaceFault(),
  mastersFault(),
  BLOCK_LOOP,
  ...DEVICE_FAULTS,
  VERSIONS,
  ...MACHINE_FAULTS,
  redisClockFault(),
  HOT_DEVICE,
  COLD_START,
];
