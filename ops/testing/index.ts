export { createDatabase, redisCommand, startRedis, type TestDatabase, type TestRedis } from './backends.ts';
export { selfSigned } from './certificate.ts';
