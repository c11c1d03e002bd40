import { connectPostgres, connectRedis, redisReady } from '../../ops/connect/index.ts';

/** The servers of a bench and what it asks of them between two arms. No state. */
export interface Addresses {
  readonly redisUrl: string;
  readonly databaseUrl: string;
}
export interface Servers extends Addresses {
  readonly redisPid: number;
  readonly postgresPid: number;
}

/** @returns an empty data base of that name and an empty Redis */
export async function emptyStores(servers: Servers, name: string): Promise<Addresses> {
  const sql = connectPostgres(servers.databaseUrl, { applicationName: 'bench', max: 1, statementTimeoutMs: 0 });
  const redis = connectRedis(servers.redisUrl, { role: 'general', name: 'bench' });
  await redisReady(redis);
  await redis.flushall();
  await sql.unsafe(`create database ${name}`);
  redis.disconnect();
  await sql.end();
  const url = new URL(servers.databaseUrl);
  url.pathname = `/${name}`;
  return { redisUrl: servers.redisUrl, databaseUrl: url.href };
}

/** one statement on the server's own data base */
export async function afterwards(servers: Servers, text: string): Promise<void> {
  const sql = connectPostgres(servers.databaseUrl, { applicationName: 'bench', max: 1, statementTimeoutMs: 0 });
  await sql.unsafe(text);
  await sql.end();
}
