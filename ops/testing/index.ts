export { createDatabase, freePort, startRedis, type TestDatabase, type TestRedis } from './backends.ts';
