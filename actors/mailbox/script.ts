import type { Redis, Script } from '../../ops/connect/index.ts';

/** The part of a client (role mailbox) that the mailbox uses. */
export type MailboxRedis = Pick<Redis, 'pipeline' | 'eval'>;

export interface Call {
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
}

/**
 * Runs one script many times in one round trip. Answers stand in the order of the calls; a call that failed holds its Error.
 * A server that does not know the script yet is sent its text. Rejects when the connection is gone (the outcome is then unknown:
 * every script of this folder may be repeated).
 */
export async function runAll(redis: MailboxRedis, script: Pick<Script, 'lua' | 'sha'>, calls: readonly Call[]): Promise<unknown[]> {
  if (calls.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const call of calls) pipeline.evalsha(script.sha, call.keys.length, ...call.keys, ...call.args);
  const replies = (await pipeline.exec()) ?? [];
  const repeats: Promise<void>[] = [];
  const answers = calls.map((call, index): unknown => {
    const [error, reply] = replies[index] ?? [new Error('the pipeline answered too little'), null];
    if (error === null) return reply;
    if (!error.message.startsWith('NOSCRIPT')) return error;
    const again = redis.eval(script.lua, call.keys.length, ...call.keys, ...call.args).catch((failure: unknown) => failure);
    repeats.push(
      again.then((answer) => {
        answers[index] = answer;
      }),
    );
    return undefined;
  });
  if (repeats.length > 0) await Promise.all(repeats);
  return answers;
}
