export { createDatabase, redisCommand, startRedis, type TestDatabase, type TestRedis } from './backends.ts';
export { selfSigned } from './certificate.ts';
export { type ConnectProxy, startConnectProxy } from './connect-proxy.ts';
