import { describe, expect, it } from 'vitest';
import { createCrowd, createRates, createRevocations, originAllowed } from './index.ts';

describe('rates', () => {
  let now = 0;
  const clock = { monotonic: () => now };
  it('each of key, tenant and address has its own bucket, and a refusal takes from none', () => {
    const rates = createRates(clock, { perKey: 5, perTenant: 8, perAddress: 0 });
    const ask = (key: string) => rates.take({ key, tenant: 't', address: 'a' });
    for (let at = 0; at < 10; at++) expect(ask('one')).toBeNull();
    expect(ask('one')).toEqual({ limit: 'rate_key', retryAfterMs: 200 });
    for (let at = 0; at < 6; at++) expect(ask('two')).toBeNull();
    expect(ask('two')).toMatchObject({ limit: 'rate_tenant' });
    now += 1000;
    for (let at = 0; at < 5; at++) expect(ask('one')).toBeNull();
    expect(ask('one')).toMatchObject({ limit: 'rate_key' });
    expect(ask('two')).toBeNull();
  });
  it('zero is no limit, and a missing address is not counted', () => {
    const rates = createRates(clock, { perKey: 0, perTenant: 0, perAddress: 1 });
    for (let at = 0; at < 100; at++) expect(rates.take({ key: 'k', tenant: 't' })).toBeNull();
    expect([1, 2, 3].map(() => rates.take({ key: 'k', tenant: 't', address: 'a' })?.limit)).toEqual([undefined, undefined, 'rate_address']);
  });
});

describe('crowds', () => {
  it('lets in as many as may be in, and forgets who left', () => {
    const crowd = createCrowd(2);
    expect([crowd.enter('a'), crowd.enter('a'), crowd.enter('a'), crowd.enter('b')]).toEqual([true, true, false, true]);
    crowd.leave('a');
    expect(crowd.enter('a')).toBe(true);
    expect(crowd.count('a')).toBe(2);
    expect(createCrowd(0).enter('a')).toBe(true);
  });
});

describe('origins', () => {
  const headers = { host: 'here.example:4000' };
  it.each([
    [undefined, true],
    ['http://here.example:4000', true],
    ['https://wall.example', true],
    ['https://evil.example', false],
    ['http://here.example', false],
    ['null', false],
    ['', false],
  ])('%s', (origin, allowed) => expect(originAllowed({ origin, headers }, ['https://wall.example'])).toBe(allowed));
});

describe('keys that end', () => {
  it('a revocation is told to every gateway, also to the one that made it when Redis is away', async () => {
    const handlers: ((text: string) => void)[] = [];
    const make = (away: boolean) =>
      createRevocations({
        publish: async (_channel, text) => {
          if (away) throw new Error('away');
          for (const handler of handlers) handler(text);
        },
        subscribe: async (_channel, handler) => void handlers.push(handler),
        telemetry: { log: { debug() {}, info() {}, warn() {}, error() {} } },
      });
    const [one, two, away] = [make(false), make(false), make(true)];
    const heard: string[] = [];
    one.on((key) => heard.push(`one ${key}`));
    two.on((key) => heard.push(`two ${key}`));
    away.on((key) => heard.push(`away ${key}`));
    await Promise.all([one.start(), two.start()]);
    two.announce('k');
    expect(new Set(heard)).toEqual(new Set(['two k', 'one k']));
    heard.length = 0;
    away.announce('k');
    expect(heard).toEqual(['away k']);
  });
});
