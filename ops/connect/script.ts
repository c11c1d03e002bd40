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
  /**
   * Runs the script many times in one round trip; the replies stand in the order of the calls. A call that failed holds its Error (after a
   * time-out or a broken connection it may have run).
   */
  runAll(redis: Pick<Redis, 'pipeline' | 'eval'>, calls: readonly ScriptCall[]): Promise<(ScriptReply | Error)[]>;
}

export interface ScriptCall {
  readonly keys: readonly string[];
  readonly args: readonly (string | number | Buffer)[];
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
    async runAll(redis, calls) {
      if (calls.length === 0) return [];
      const pipeline = redis.pipeline();
      for (const { keys, args } of calls) pipeline.evalsha(sha, keys.length, ...keys, ...args);
      const replies = (await pipeline.exec()) ?? [];
      return Promise.all(
        calls.map(({ keys, args }, index): ScriptReply | Error | Promise<ScriptReply | Error> => {
          const [error, reply] = replies[index] ?? [new Error('the pipeline answered too little'), null];
          if (error === null) return reply as ScriptReply;
          if (!error.message.startsWith('NOSCRIPT')) return error;
          return redis.eval(lua, keys.length, ...keys, ...args).then(
            (late) => late as ScriptReply,
            (failure: unknown) => (failure instanceof Error ? failure : new Error(String(failure))),
          );
        }),
      );
    },
  };
}
