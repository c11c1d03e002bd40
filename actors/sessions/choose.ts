import { join } from 'node:path';
import type { Redis, Sql } from '../../ops/connect/index.ts';
import { createFileStore } from './file-store.ts';
import { createPostgresStore } from './postgres-store.ts';
import { checkRedisKeeps, createRedisStore } from './redis-store.ts';
import type { Sealed } from './sealed.ts';

export interface StoreChoice {
  readonly SESSION_STORE: 'postgres' | 'redis' | 'file';
  readonly DATA_DIR: string;
}

/**
 * The store that SESSION_STORE names. `redis` is asked for only when it is the one.
 * @throws FlotillaError terminal SESSION_STORE_UNSAFE
 */
export async function openSealedStore(choice: StoreChoice, deps: { readonly sql: Sql; readonly redis: () => Redis }): Promise<Sealed> {
  if (choice.SESSION_STORE === 'file') return createFileStore(join(choice.DATA_DIR, 'sessions'));
  if (choice.SESSION_STORE === 'postgres') return createPostgresStore(deps.sql);
  const redis = deps.redis();
  await checkRedisKeeps(redis);
  return createRedisStore(redis);
}
