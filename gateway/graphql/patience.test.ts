import { describe, expect, it } from 'vitest';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { buildSchema } from '../../schema/graphql/index.ts';
import { createAccept } from '../accept/index.ts';
import { createAuthenticator, type StoredKey } from '../auth/index.ts';
import { createGuard } from '../system/index.ts';
import { createExecutor } from './executor.ts';
import { createGraphqlHttp } from './http.ts';
import { DEVICE, testDevice, testRequest, testServices, testTelemetry, testTenant } from './testing.ts';

/**
 * The story: Postgres was restarted under load, and the API answered UNAVAILABLE after 2.8 s: the key waited for it, then the tenant, then
 * the message, each with a patience of its own. All times here are virtual.
 */
function virtualClock(): Clock & { move(ms: number): void } {
  let now = 1_000_000;
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
    sleep: () => new Promise(() => {}),
    move(ms) {
      now += ms;
      const due = timers.filter((timer) => timer.at <= now);
      timers = timers.filter((timer) => timer.at > now);
      for (const { task } of due) task();
    },
  };
}

function apiOf(clock: ReturnType<typeof virtualClock>) {
  const telemetry = testTelemetry([]);
  const state = { hangs: false };
  const ledger = <T>(value: T): Promise<T> => (state.hangs ? new Promise(() => {}) : Promise.resolve(value));
  const key: StoredKey = { id: 'k', tenantId: null, name: 'k', scopes: ['admin'], expiresAt: null };
  const auth = createAuthenticator(
    { findKey: () => ledger(key), findTenant: () => ledger(testTenant), clock, telemetry },
    { defaultTenant: 'default' },
  );
  const accept = createAccept({
    commit: (items) => ledger(items.map((item) => ({ kind: 'accepted', id: item.id, seq: 1, paused: false }))),
    enqueuer: { enqueue: async () => {}, missed() {} },
    live: { messages() {} },
    clock,
    telemetry,
  });
  const guard = createGuard(clock, 'the ledger');
  const services = testServices((item) => accept.send(item));
  const executor = createExecutor({
    schema: buildSchema(),
    services: {
      ...services,
      accept,
      ledger: {
        ...services.ledger,
        devicePage: () => guard(() => ledger({ rows: [testDevice()], more: false })),
      },
      // slow, but there: two of these one after the other are as bad as one that never answers
      devices: {
        ...services.devices,
        setPaused: () =>
          guard(
            () =>
              new Promise((resolve) => {
                clock.after(600, () => resolve(testDevice()));
              }),
          ),
      },
    },
    clock,
    telemetry,
  });
  const handler = createGraphqlHttp({ executor, auth, clock, telemetry });
  const ask = async (query: string) => {
    const from = clock.monotonic();
    let answer: { status: number; body: string } | undefined;
    Promise.resolve(handler(testRequest({ text: JSON.stringify({ query }) }))).then(({ status, body }) => {
      answer = { status, body: String(body) };
    });
    for (let steps = 0; answer === undefined && steps < 1000; steps++) {
      for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
      if (answer === undefined) clock.move(10);
    }
    return { tookMs: clock.monotonic() - from, status: answer?.status, json: JSON.parse(answer?.body ?? 'null') };
  };
  return { state, ask };
}

const SEND = `mutation { sendMessage(input: {deviceId: "${DEVICE}", to: "+491701234567", body: "x", idempotencyKey: "k"}) {
  message { id } errors { code message retryAfterMs outcomeUnknown } } }`;

describe('the patience of a request is one for all that it waits for', () => {
  it.each([
    ['a key that is not known yet', 0],
    ['a key known from a moment ago', 1],
  ])('%s', async (_name, before) => {
    const clock = virtualClock();
    const { state, ask } = apiOf(clock);
    if (before > 0) expect((await ask(SEND)).json.data.sendMessage.errors).toEqual([]);
    state.hangs = true;
    clock.move(20_000);
    for (let n = 0; n < 3; n++) {
      const { tookMs, status, json } = await ask(SEND);
      expect(tookMs).toBeLessThan(1000);
      if (before === 0) expect([status, json.errors[0].extensions.code]).toEqual([503, 'UNAVAILABLE']);
      else {
        // one is under way and its outcome is not known; those behind it only waited and were certainly not stored
        const outcomeUnknown = n === 0;
        expect(json.data.sendMessage).toMatchObject({
          message: null,
          errors: [{ code: 'UNAVAILABLE', retryAfterMs: 1000, outcomeUnknown }],
        });
      }
      clock.move(5000);
    }
  });

  it('an operation that waits for one slow answer after the other is ended all the same', async () => {
    const clock = virtualClock();
    const { ask } = apiOf(clock);
    const pause = `pauseDevice(input: {deviceId: "${DEVICE}"}) { device { id } }`;
    const one = await ask(`mutation { ${pause} }`);
    expect(one.json).toMatchObject({ data: { pauseDevice: { device: {} } } });
    const { tookMs, json } = await ask(`mutation { a: ${pause} b: ${pause} c: ${pause} }`);
    expect(tookMs).toBeLessThan(1000);
    expect(json.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE', retryAfterMs: 1000, outcomeUnknown: true } }]);
  });
});
