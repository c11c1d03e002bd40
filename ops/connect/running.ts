import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the stores are. */
export interface Place {
  readonly databaseUrl: string;
  readonly redisUrl: string;
}

/**
 * DATABASE_URL and REDIS_URL, or what is missing of them from the stack that `npm start` runs on DATA_DIR; null when neither is known. For commands
 * beside a running stack.
 */
export function placeOf(config: {
  readonly DATABASE_URL?: string | undefined;
  readonly REDIS_URL?: string | undefined;
  readonly DATA_DIR: string;
}): Place | null {
  const running = (): Partial<Place> => {
    try {
      return JSON.parse(readFileSync(join(config.DATA_DIR, 'stack.json'), 'utf8')) as Partial<Place>;
    } catch {
      return {};
    }
  };
  const databaseUrl = config.DATABASE_URL ?? running().databaseUrl;
  const redisUrl = config.REDIS_URL ?? running().redisUrl;
  return databaseUrl === undefined || redisUrl === undefined ? null : { databaseUrl, redisUrl };
}
