import { beforeEach, describe, expect, it } from 'vitest';
import { FlotillaError } from '../../schema/domain/index.ts';
import { testTenant as TENANT } from '../graphql/testing.ts';
import { createAuthenticator, hashOf, newSecret, type StoredKey, secretOf } from './index.ts';

const good = newSecret();
let now = 0;
let lookups = 0;
let away = false;
let keys: Map<string, StoredKey>;

const clock = {
  wall: () => now,
  monotonic: () => now,
  after: () => () => {},
  sleep: () => Promise.resolve(),
};
const start = () =>
  createAuthenticator(
    {
      findKey: async (hash) => {
        lookups += 1;
        if (away) throw new FlotillaError('retryable', 'UNAVAILABLE', 'away');
        return keys.get(Buffer.from(hash).toString('hex')) ?? null;
      },
      findTenant: async (by) => (('id' in by ? by.id === TENANT.id : by.name === TENANT.name) ? TENANT : null),
      clock,
      telemetry: { count: () => {} },
    },
    { defaultTenant: 'default', cacheMs: 1000, staleMs: 60_000, failures: { burst: 5, perSecond: 1 } },
  );
const ask = (auth: ReturnType<typeof start>, secret = good, tenant?: string) =>
  auth.authenticate({ authorization: `Bearer ${secret}`, tenant, remote: '10.0.0.1' });

beforeEach(() => {
  now = 1_000_000;
  lookups = 0;
  away = false;
  const row: StoredKey = { id: 'k', tenantId: TENANT.id, name: 'k', scopes: ['sender', 'nonsense'], expiresAt: now + 10_000 };
  keys = new Map([[hashOf(good).toString('hex'), row]]);
});

describe('keys', () => {
  it('reads a key from a header or a payload', () => {
    expect(secretOf(`Bearer ${good}`)).toBe(good);
    expect(secretOf(`bearer ${good}`)).toBe(good);
    expect(secretOf(good)).toBe(good);
    expect(secretOf('Basic dXNlcjpwYXNz')).toBeNull();
    expect(secretOf('Bearer ')).toBeNull();
  });

  it('a good key is looked up once for all requests at once, and known scopes count only', async () => {
    const auth = start();
    const viewers = await Promise.all(Array.from({ length: 50 }, () => ask(auth)));
    expect(viewers[0]).toMatchObject({ tenantId: TENANT.id, installation: false, scopes: new Set(['sender']) });
    expect(lookups).toBe(1);
  });

  it('K1: a revoked key stops within the cache time, or at once when told; an expired one on its second', async () => {
    const auth = start();
    await ask(auth);
    keys.clear();
    expect(await ask(auth)).toMatchObject({ keyId: 'k' });
    now += 1001;
    expect(await ask(auth)).toMatchObject({ status: 401 });
    const told = start();
    keys.set(hashOf(good).toString('hex'), { id: 'k', tenantId: TENANT.id, name: 'k', scopes: ['viewer'], expiresAt: now + 500 });
    await ask(told);
    now += 501;
    expect(await ask(told)).toMatchObject({ status: 401 });
    keys.clear();
    told.forget('k');
    expect(await ask(told)).toMatchObject({ status: 401 });
  });

  it('K2: while the store is away a key known lately stays good, an unknown one is 503', async () => {
    const auth = start();
    await ask(auth);
    away = true;
    now += 5000;
    expect(await ask(auth)).toMatchObject({ keyId: 'k' });
    expect(await ask(auth, newSecret())).toMatchObject({ status: 503, retryAfterMs: 1000 });
    now += 120_000;
    expect(await ask(auth)).toMatchObject({ status: 503 });
  });

  it('K3: too many wrong keys are answered without a lookup, known keys pass, and patience is rewarded', async () => {
    const auth = start();
    await ask(auth);
    for (let at = 0; at < 5; at++) expect(await ask(auth, newSecret())).toMatchObject({ status: 401 });
    const before = lookups;
    expect(await ask(auth, newSecret())).toMatchObject({ status: 429, retryAfterMs: 1000 });
    expect(lookups).toBe(before);
    expect(await ask(auth)).toMatchObject({ keyId: 'k' });
    now += 1001;
    await ask(auth, newSecret());
    expect(await ask(auth, newSecret())).toMatchObject({ status: 429 });
    expect(await ask(auth)).toMatchObject({ keyId: 'k' });
    now += 1000;
    expect(await ask(auth, newSecret())).toMatchObject({ status: 401 });
  });

  it('only the installation key may name any tenant', async () => {
    const auth = start();
    const admin = newSecret();
    keys.set(hashOf(admin).toString('hex'), { id: 'a', tenantId: null, name: 'a', scopes: ['admin'], expiresAt: null });
    expect(await ask(auth, admin)).toMatchObject({ tenantId: TENANT.id, installation: true });
    expect(await ask(auth, admin, `Tenant:${TENANT.id}`)).toMatchObject({ tenantId: TENANT.id });
    expect(await ask(auth, admin, 'nobody')).toMatchObject({ status: 403 });
    expect(await ask(auth, good, 'default')).toMatchObject({ tenantId: TENANT.id, installation: false });
    expect(await ask(auth, good, 'other')).toMatchObject({ status: 403 });
  });
});
