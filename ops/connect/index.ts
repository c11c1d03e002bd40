export { type ArrayElement, arrayLiteral } from './arrays.ts';
export type { ConnectLog } from './log.ts';
export { connectPostgres, type PostgresOptions, type Sql } from './postgres.ts';
export { isLoopback, isPublicAddress } from './public-address.ts';
export {
  AddressRefused,
  checkedLookup,
  checkLiteral,
  type PublicRequest,
  publicUrl,
  requestPublic,
  ServerSilent,
} from './public-request.ts';
export { connectRedis, type Redis, type RedisClientOptions, type RedisRole, redisReady } from './redis.ts';
export { type Place, placeOf } from './running.ts';
export { defineScript, type Script, type ScriptReply } from './script.ts';
