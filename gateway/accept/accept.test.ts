import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import type { AcceptItem, AcceptOutcome } from '../../schema/sql/index.ts';
import { type AcceptOptions, createAccept } from './index.ts';

/** A clock that stands until it is moved. */
function fakeClock(): Clock & { move(ms: number): void } {
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  return {
    wall: () => now,
    monotonic: () => now,
    after(ms, task) {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    sleep: () => Promise.resolve(),
    move(ms) {
      const until = now + ms;
      for (;;) {
        const next = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers = timers.filter((timer) => timer !== next);
        now = Math.max(now, next.at);
        next.task();
      }
      now = until;
    },
  };
}

const tick = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
let made = 0;
function item(deviceId = 'd1', overrides: Partial<AcceptItem> = {}): AcceptItem {
  made += 1;
  return {
    id: `m${made}`,
    tenantId: 't',
    deviceId,
    lane: 'high',
    recipient: '+491701234567',
    body: 'hi',
    idempotencyKey: null,
    contentHash: new Uint8Array(),
    scheduledAt: null,
    traceparent: null,
    ...overrides,
  };
}
const yes = (one: AcceptItem): AcceptOutcome => ({ kind: 'accepted', id: one.id, seq: 1, paused: false });

function start(commit: (items: readonly AcceptItem[]) => Promise<readonly AcceptOutcome[]>, options: Partial<AcceptOptions> = {}) {
  const batches: string[][] = [];
  const enqueued: string[] = [];
  const missed: string[] = [];
  const events: string[] = [];
  const clock = fakeClock();
  const accept = createAccept(
    {
      commit: (items) => {
        batches.push(items.map((one) => one.id));
        return commit(items);
      },
      enqueuer: {
        enqueue: async (entries) => void enqueued.push(...entries.map((entry) => entry.messageId)),
        missed: (ids) => void missed.push(...ids),
      },
      live: { messages: (_tenant, records) => void events.push(...records.map((record) => record.messageId)) },
      clock,
      telemetry: createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0, write: () => {} }),
    },
    options,
  );
  return { accept, batches, enqueued, missed, events, clock };
}

describe('group commit', () => {
  it('commits the items of one tick in one statement, and tells mailbox and live state after it', async () => {
    const { accept, batches, enqueued, events } = start(async (items) => items.map(yes));
    const items = Array.from({ length: 300 }, () => item());
    const outcomes = await Promise.all(items.map((one) => accept.send(one)));
    expect(batches).toEqual([items.map((one) => one.id)]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(items.map(() => 'accepted'));
    expect(enqueued).toEqual(items.map((one) => one.id));
    expect(events).toEqual(enqueued);
    expect(accept.pending()).toBe(0);
  });

  it('A1: nothing is answered or told before the commit', async () => {
    let finish = (): void => {};
    const { accept, enqueued } = start(async (items) => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return items.map(yes);
    });
    let answered = false;
    const sent = accept.send(item()).then(() => {
      answered = true;
    });
    await tick();
    expect([answered, enqueued]).toEqual([false, []]);
    finish();
    await sent;
    expect(enqueued.length).toBe(1);
  });

  it('A3: a device is in one batch under way at most, in the order of its sends, while others go on', async () => {
    const finish: (() => void)[] = [];
    const { accept, batches } = start(async (items) => {
      await new Promise<void>((resolve) => finish.push(resolve));
      return items.map(yes);
    });
    const sent = [accept.send(item('a', { id: 'a1' }))];
    await tick();
    sent.push(accept.send(item('a', { id: 'a2' })), accept.send(item('b', { id: 'b1' })), accept.send(item('a', { id: 'a3' })));
    await tick();
    expect(batches).toEqual([['a1'], ['b1']]);
    finish[0]?.();
    await tick();
    expect(batches).toEqual([['a1'], ['b1'], ['a2', 'a3']]);
    for (const each of finish) each();
    await tick();
    for (const each of finish) each();
    await Promise.all(sent);
  });

  it('splits what is above the largest batch, order kept', async () => {
    const { accept, batches } = start(async (items) => items.map(yes), { maxBatch: 2 });
    await Promise.all(['1', '2', '3', '4', '5'].map((id) => accept.send(item('a', { id }))));
    expect(batches).toEqual([['1', '2'], ['3', '4'], ['5']]);
  });

  it('A4: a ledger that stands still is told within the wait; a commit that comes late is still told to the mailbox', async () => {
    let finish = (): void => {};
    const { accept, clock, enqueued } = start(
      async (items) => {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return items.map(yes);
      },
      { maxInFlight: 1 },
    );
    const under = accept.send(item('a'));
    await tick();
    const waiting = accept.send(item('b'));
    const answers = Promise.allSettled([under, waiting]);
    clock.move(1000);
    const [first, second] = await answers;
    expect(first).toMatchObject({
      status: 'rejected',
      reason: { code: 'UNAVAILABLE', policy: 'retryable', message: expect.stringContaining('may have been stored') },
    });
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
    expect(String((second as PromiseRejectedResult).reason.message)).not.toContain('may have been stored');
    finish();
    await tick();
    expect(enqueued.length).toBe(1);
    expect(accept.pending()).toBe(0);
  });

  it('A4: a request with a deadline of its own is answered by it, in whatever order they come', async () => {
    const { accept, clock } = start(() => new Promise(() => {}), { maxInFlight: 1 });
    const patient = accept.send(item('a'));
    const hasty = accept.send(item('b'), 300);
    const settled: string[] = [];
    patient.catch(() => settled.push('patient'));
    hasty.catch(() => settled.push('hasty'));
    clock.move(350);
    await tick();
    expect(settled).toEqual(['hasty']);
    clock.move(500);
    await tick();
    expect(settled).toEqual(['hasty', 'patient']);
  });

  it.each([
    ['57P01', true],
    ['CONNECTION_CLOSED', true],
    ['ECONNREFUSED', false],
    ['53300', false],
  ])('A4: a commit that ends with %s may have been stored: %s; then the owners are asked to look', async (code, unknown) => {
    const { accept, missed } = start(async () => {
      throw Object.assign(new Error('the connection ended'), { code });
    });
    await expect(accept.send(item('a'))).rejects.toMatchObject({ code: 'UNAVAILABLE', policy: 'retryable', outcomeUnknown: unknown });
    expect(missed).toEqual(unknown ? ['a'] : []);
  });

  it('A5: one item the statement cannot take fails alone', async () => {
    const { accept } = start(async (items) => {
      if (items.some((one) => one.body === 'poison')) throw Object.assign(new Error('invalid byte sequence'), { code: '22021' });
      return items.map(yes);
    });
    const results = await Promise.allSettled(['a', 'b', 'poison', 'c', 'd'].map((body) => accept.send(item('x', { body }))));
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  });

  it('asks again for a key that another gateway is committing, and gives up in bounded time', async () => {
    let asks = 0;
    const { accept, clock } = start(
      async (items) => {
        asks += 1;
        return items.map(
          (one): AcceptOutcome => (one.idempotencyKey === 'free' && asks > 2 ? { kind: 'replayed', id: 'first' } : { kind: 'again' }),
        );
      },
      { againTries: 4, waitMs: 1e9 },
    );
    const turn = async (): Promise<void> => {
      for (let at = 0; at < 6; at++) {
        await tick();
        clock.move(30);
      }
    };
    const freed = accept.send(item('a', { idempotencyKey: 'free' }));
    await turn();
    expect(await freed).toEqual({ kind: 'replayed', id: 'first' });
    const stuck = accept.send(item('a', { idempotencyKey: 'stuck' }));
    await turn();
    expect(await stuck).toEqual({ kind: 'again' });
  });

  it('refuses at once when too many wait', async () => {
    const { accept } = start(() => new Promise(() => {}), { maxWaiting: 2, maxInFlight: 1 });
    void accept.send(item('a')).catch(() => {});
    await tick();
    void accept.send(item('b')).catch(() => {});
    void accept.send(item('c')).catch(() => {});
    await expect(accept.send(item('d'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('A2: a mailbox that fails changes no answer', async () => {
    const clock = fakeClock();
    const accept = createAccept({
      commit: async (items) => items.map(yes),
      enqueuer: { enqueue: () => Promise.reject(new Error('Redis is away')), missed() {} },
      live: {
        messages: () => {
          throw new Error('Redis is away');
        },
      },
      clock,
      telemetry: createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0, write: () => {} }),
    });
    expect(await accept.send(item())).toMatchObject({ kind: 'accepted' });
  });
});
