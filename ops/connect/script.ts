import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** What a script answers: text, whole number, null or a list of these. */
export type ScriptReply = string | number | null | ScriptReply[];

export interface Script {
  readonly lua: string;
  readonly sha: string;
  /**
   * Runs the script: EVALSHA, and EVAL when the server does not know it (restart, SCRIPT FLUSH). NOSCRIPT means that it did not run.
   * @throws what ioredis throws; after a time-out or a broken connection the script may have run
   */
  run(redis: Redis, keys: readonly string[], args: readonly (string | number | Buffer)[]): Promise<ScriptReply>;
}

/** Makes a Lua text callable. Holds no state: the server's script cache is the only cache. */
export function defineScript(lua: string): Script {
  const sha = createHash('sha1').update(lua).digest('hex');
  return {
    lua,
    sha,
    async run(redis, keys, args) {
      try {
        return (await redis.evalsha(sha, keys.length, ...keys, ...args)) as ScriptReply;
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return (await redis.eval(lua, keys.length, ...keys, ...args)) as ScriptReply;
      }
    },
  };
}
