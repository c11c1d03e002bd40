import { describe, expect, it } from 'vitest';
import { partitionKeys, partitionOf, uuidV7 } from '../../schema/domain/index.ts';
import { createEnqueuer, type EnqueueEntry } from './enqueue.ts';
import type { MailboxRedis } from './script.ts';

/** The story: Redis hung for minutes while the API went on accepting. Every message of that time stayed in the gateway's memory. */
function hangingRedis() {
  let hangs = false;
  const held: (() => void)[] = [];
  let sent = 0;
  const redis = {
    pipeline() {
      const replies: unknown[] = [];
      const line = {
        get(key: string) {
          replies.push([null, key === generationKey ? 'g1' : null]);
          return line;
        },
        evalsha(_sha: string, keys: number, ...rest: unknown[]) {
          const entries = (rest.length - keys - 3) / 5;
          sent += entries;
          replies.push([null, ['OK', 'O'.repeat(entries)]]);
          return line;
        },
        exec: () =>
          new Promise<unknown[]>((resolve) => {
            if (hangs) held.push(() => resolve(replies));
            else resolve(replies);
          }),
      };
      return line;
    },
  };
  return {
    redis: redis as unknown as MailboxRedis,
    hang: () => {
      hangs = true;
    },
    goOn: () => {
      hangs = false;
      for (const release of held.splice(0)) release();
    },
    sent: () => sent,
  };
}
const device = uuidV7(1_700_000_000_000);
const generationKey = partitionKeys(partitionOf(device)).generation;
const entries = (from: number, count: number): EnqueueEntry[] =>
  Array.from({ length: count }, (_, n) => ({
    deviceId: device,
    lane: 'normal',
    seq: from + n,
    messageId: `m-${from + n}`,
    traceparent: null,
  }));

describe('a mailbox server that hangs', () => {
  it('costs memory up to a limit; what is above it is dropped and counted, and all goes on afterwards', async () => {
    const outcomes: Record<string, number> = {};
    const telemetry = {
      count: (_name: string, value = 1, labels: Readonly<Record<string, string>> = {}) => {
        outcomes[labels['outcome'] ?? ''] = (outcomes[labels['outcome'] ?? ''] ?? 0) + value;
      },
      log: { debug() {}, info() {}, warn() {}, error() {} },
    };
    const server = hangingRedis();
    const enqueuer = createEnqueuer({ redis: server.redis, telemetry }, { window: 50, mostUnderWay: 1000 });
    await enqueuer.enqueue(entries(1, 10));
    server.hang();
    const waiting: Promise<void>[] = [];
    for (let n = 0; n < 100; n++) {
      waiting.push(enqueuer.enqueue(entries(11 + n * 50, 50)));
      if (n % 10 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(outcomes).toEqual({ OK: 10, DROPPED: 4000 });
    server.goOn();
    await Promise.all(waiting);
    await enqueuer.enqueue(entries(6000, 10));
    expect(outcomes).toEqual({ OK: 1020, DROPPED: 4000 });
    expect(server.sent()).toBe(1020);
  });
});
