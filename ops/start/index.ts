export { type Api, ask, patiently } from './api.ts';
export { ensureDevices, simulatedName } from './demo-devices.ts';
export { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
export { type EmbeddedRedis, findRedis, startEmbeddedRedis } from './embedded-redis.ts';
export { createGuardian, type Guardian } from './guardian.ts';
export { freePort } from './ports.ts';
export {
  createStack,
  type Stack,
  type StackEvent,
  type StackGateway,
  type StackNode,
  type StackOptions,
  type StackProcess,
  startStack,
} from './stack.ts';
