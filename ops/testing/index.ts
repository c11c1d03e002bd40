export { createDatabase, freePort, redisCommand, startRedis, type TestDatabase, type TestRedis } from './backends.ts';
