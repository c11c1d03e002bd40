import { describe, expect, it } from 'vitest';
import { createFailures, createRates, createShares, FAILURE_SHARES, type ShareSource, type Shares, shareLimits } from './index.ts';

/** Time that stands until it is told, and the tasks that wait for it. */
function createTime() {
  let now = 0;
  let tasks: { readonly at: number; readonly task: () => void }[] = [];
  return {
    monotonic: () => now,
    after(ms: number, task: () => void) {
      const one = { at: now + ms, task };
      tasks.push(one);
      return () => {
        tasks = tasks.filter((other) => other !== one);
      };
    },
    /** a millisecond at a time, with room for what awaits */
    async pass(ms: number) {
      for (let step = 0; step < ms; step++) {
        now += 1;
        const due = tasks.filter(({ at }) => at <= now);
        tasks = tasks.filter(({ at }) => at > now);
        for (const { task } of due) task();
        for (let turn = 0; turn < 6; turn++) await Promise.resolve();
      }
    },
  };
}
type Time = ReturnType<typeof createTime>;

/** The shared bucket as lease-share.lua keeps it. */
function createModel(time: Time): { readonly source: ShareSource; asked: number; away: boolean } {
  const buckets = new Map<string, { tokens: number; at: number }>();
  const model = {
    asked: 0,
    away: false,
    source: (async (_kind, { perSecond, most }, asks) => {
      model.asked += 1;
      if (model.away) throw new Error('away');
      return asks.map(({ name, wanted }) => {
        const known = buckets.get(name);
        const now = time.monotonic();
        const tokens = known === undefined ? most : Math.min(most, known.tokens + ((now - known.at) * perSecond) / 1000);
        const given = Math.min(Math.floor(tokens), wanted);
        buckets.set(name, { tokens: tokens - given, at: now });
        return { given, waitMs: tokens - given >= 1 ? 0 : Math.ceil(((1 - tokens + given) / perSecond) * 1000) };
      });
    }) satisfies ShareSource,
  };
  return model;
}

/** Asks `each` times a millisecond at every gateway for `ms`; answers how often it was let through. */
async function press(time: Time, gateways: readonly Shares[], each: number, ms: number): Promise<number> {
  let passed = 0;
  for (let at = 0; at < ms; at++) {
    for (const shares of gateways) {
      for (let n = 0; n < each; n++) {
        if (shares.wait('t') > 0) continue;
        shares.take('t');
        passed += 1;
      }
    }
    await time.pass(1);
  }
  return passed;
}

describe('limits of all gateways together', () => {
  it('hold for three gateways as for one, up to what each takes ahead, without a round trip each', async () => {
    const time = createTime();
    const model = createModel(time);
    const limits = shareLimits(1000);
    const gateways = [1, 2, 3].map(() => createShares({ clock: time, source: model.source }, 'tenant', limits));
    const passed = await press(time, gateways, 2, 5000);
    // two seconds' worth at once, five seconds' worth since, and what each may owe
    expect(passed).toBeLessThanOrEqual(7000 + 3 * limits.ahead * 10);
    expect(passed).toBeGreaterThan(6500);
    expect(model.asked).toBeLessThan(passed / 5);
    // what is owed is paid: from now on there is only what comes
    const later = await press(time, gateways, 2, 10_000);
    expect(later).toBeLessThanOrEqual(11_000);
    expect(later).toBeGreaterThan(9_000);
  });

  it('one gateway alone gets all of it while the others are quiet', async () => {
    const time = createTime();
    const model = createModel(time);
    const [one, other] = [1, 2].map(() => createShares({ clock: time, source: model.source }, 'tenant', shareLimits(1000)));
    if (one === undefined || other === undefined) throw new Error('no gateways');
    other.take('t');
    expect(await press(time, [one], 1, 4000)).toBeGreaterThan(3900);
  });

  it('a crowd that comes at once after a silence is let in: it is a burst, and the bucket is full', () => {
    const time = createTime();
    const shares = createShares({ clock: time, source: createModel(time).source }, 'tenant', shareLimits(2000));
    for (let at = 0; at < 1_500; at++) {
      expect(shares.wait('t')).toBe(0);
      shares.take('t');
    }
  });

  it('whoever asks less than the limit never waits', async () => {
    const time = createTime();
    const model = createModel(time);
    const gateways = [1, 2].map(() => createShares({ clock: time, source: model.source }, 'tenant', shareLimits(3000)));
    expect(await press(time, gateways, 1, 3000)).toBe(6000);
  });

  it('everybody passes while Redis is away or silent, and the limit holds again when it is back', async () => {
    const time = createTime();
    const model = createModel(time);
    const shares = createShares({ clock: time, source: model.source }, 'tenant', shareLimits(100));
    expect(await press(time, [shares], 1, 2000)).toBeLessThan(450);
    model.away = true;
    await time.pass(1000);
    expect(await press(time, [shares], 1, 2000)).toBeGreaterThan(1700);
    model.away = false;
    await time.pass(1100);
    expect(await press(time, [shares], 1, 2000)).toBeLessThan(450);
    const silent = createShares({ clock: time, source: () => new Promise(() => {}) }, 'tenant', shareLimits(100));
    expect(await press(time, [silent], 1, 2000)).toBeGreaterThan(1500);
  });

  it('stand beside those of one gateway in the rates, and zero is no limit', async () => {
    const time = createTime();
    const model = createModel(time);
    const make = (perTenant: number) => {
      const shared = (kind: 'key' | 'tenant') =>
        createShares({ clock: time, source: model.source }, kind, shareLimits(kind === 'key' ? 0 : perTenant));
      return createRates(time, { perKey: 0, perTenant, perAddress: 0 }, { key: shared('key'), tenant: shared('tenant') });
    };
    const gateways = [make(50), make(50)];
    let passed = 0;
    let refused: string | undefined;
    for (let at = 0; at < 2000; at++) {
      for (const rates of gateways) {
        const refusal = rates.take({ key: 'k', tenant: 't' });
        if (refusal === null) passed += 1;
        else refused = refusal.limit;
      }
      await time.pass(1);
    }
    expect(refused).toBe('rate_tenant');
    expect(passed).toBeLessThanOrEqual(200 + 2 * 50);
    expect(passed).toBeGreaterThan(180);
    const free = make(0);
    for (let at = 0; at < 1000; at++) expect(free.take({ key: 'k', tenant: 't' })).toBeNull();
  });

  it('failures at one gateway are failures at all, once the other has seen one', async () => {
    const time = createTime();
    const model = createModel(time);
    const [one, other] = [1, 2].map(() =>
      createFailures(time, {}, createShares({ clock: time, source: model.source }, 'auth', FAILURE_SHARES)),
    );
    for (let at = 0; at < 110; at++) {
      if (one?.allowed('a') === true) one.failed('a');
      await time.pass(20);
    }
    expect(one?.allowed('a')).toBe(false);
    expect(other?.allowed('a')).toBe(true);
    other?.failed('a');
    await time.pass(50);
    expect(other?.allowed('a')).toBe(false);
    expect(other?.allowed('b')).toBe(true);
    await time.pass(5000);
    expect(other?.allowed('a')).toBe(true);
  });
});
