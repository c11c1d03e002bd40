import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { isUuid } from '../../schema/domain/index.ts';
import { SCOPES, type Scope, type TenantRow, type Viewer } from '../../schema/graphql/index.ts';
import { createGuard, isAway } from '../system/index.ts';
import { createFailures, type FailureOptions } from './failures.ts';
import { hashOf, secretOf } from './keys.ts';
import type { Shares } from './shares.ts';

/**
 * Who asks. Owns a short cache of keys and tenants; the truth is in Postgres.
 *
 * K1 A revoked or expired key stops within `cacheMs`, on every gateway; `forget` makes it stop at once on this one.
 * K2 While Postgres is away, a key that was good less than `staleMs` ago stays good (walls go on), unless it is expired. It is not waited for
 *    then longer than `freshWaitMs`: the rest of the request's patience is for what it wants to do. A late answer still counts for the next one.
 * K3 An address that fails too often is answered without looking anything up; keys that are in the cache still pass.
 */
export interface Authenticator {
  authenticate(request: AuthRequest): Promise<Viewer | AuthFailure>;
  /** drops a key from the cache */
  forget(keyId: string): void;
}

export interface AuthRequest {
  /** the `Authorization` header, or `authorization` of the connection_init payload */
  readonly authorization: string | undefined;
  /** the `x-flotilla-tenant` header: name or id of a tenant; only the installation's key may name another than its own */
  readonly tenant?: string | undefined;
  readonly remote: string;
  /** monotonic ms by which the answer is wanted */
  readonly deadline?: number;
}

export interface AuthFailure {
  readonly code: 'UNAUTHENTICATED' | 'FORBIDDEN' | 'RATE_LIMITED' | 'UNAVAILABLE';
  /** HTTP status */
  readonly status: 401 | 403 | 429 | 503;
  readonly message: string;
  readonly retryAfterMs?: number;
}
export function isAuthFailure(answer: Viewer | AuthFailure): answer is AuthFailure {
  return 'status' in answer;
}

/** A key that is not revoked. `expiresAt` is wall ms. */
export interface StoredKey {
  readonly id: string;
  readonly tenantId: string | null;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt: number | null;
}

export interface AuthDeps {
  /** by SHA-256: what a stranger sends is never compared as it is, so timing tells nothing of a key */
  readonly findKey: (hash: Uint8Array) => Promise<StoredKey | null>;
  readonly findTenant: (by: { readonly id: string } | { readonly name: string }) => Promise<TenantRow | null>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count'>;
  /** failures per address over all gateways; without: of this one */
  readonly shares?: Shares | undefined;
}
export interface AuthOptions {
  /** tenant in which the installation's key acts when no other is named */
  readonly defaultTenant: string;
  readonly cacheMs?: number;
  readonly staleMs?: number;
  readonly freshWaitMs?: number;
  /** longest wait for the key store; default: as everywhere */
  readonly waitMs?: number;
  readonly maxCached?: number;
  readonly failures?: Partial<FailureOptions>;
}

const UNAUTHENTICATED: AuthFailure = {
  code: 'UNAUTHENTICATED',
  status: 401,
  message: 'expected `Authorization: Bearer <api key>` with a key that is valid, not expired and not revoked',
};
const UNAVAILABLE: AuthFailure = {
  code: 'UNAVAILABLE',
  status: 503,
  message: 'keys cannot be checked now: ask again',
  retryAfterMs: 1000,
};

interface Cached<T> {
  readonly value: T | null;
  readonly at: number;
}

/** How long a fresher answer is waited for when there is one from a while ago. */
const FRESH_WAIT_MS = 150;

interface CacheOptions {
  readonly cacheMs: number;
  readonly staleMs: number;
  readonly freshWaitMs: number;
  readonly maxCached: number;
}

/** Looks values up once per `cacheMs`, one lookup at a time per key; serves what it has for `staleMs` while the source is away or slow. */
function createCache<T>(clock: Clock, { cacheMs, staleMs, freshWaitMs, maxCached }: CacheOptions) {
  const cache = new Map<string, Cached<T>>();
  const under = new Map<string, { readonly answer: Promise<T | null>; readonly since: number }>();
  const keep = (key: string, value: T | null): void => {
    cache.delete(key);
    cache.set(key, { value, at: clock.monotonic() });
    if (cache.size > maxCached) {
      const oldest = cache.keys().next().value;
      if (oldest !== undefined) cache.delete(oldest);
    }
  };
  const look = (key: string, read: () => Promise<T | null>): { readonly answer: Promise<T | null>; readonly since: number } => {
    const known = under.get(key);
    if (known !== undefined) return known;
    const answer = read()
      .then((value) => {
        keep(key, value);
        return value;
      })
      .finally(() => under.delete(key));
    // somebody may have stopped waiting for it
    answer.catch(() => {});
    const pending = { answer, since: clock.monotonic() };
    under.set(key, pending);
    return pending;
  };
  return {
    fresh(key: string): Cached<T> | undefined {
      const hit = cache.get(key);
      return hit !== undefined && clock.monotonic() - hit.at < cacheMs ? hit : undefined;
    },
    /** found not long ago, whether it has to be looked up again or not */
    knownGood(key: string): boolean {
      const hit = cache.get(key);
      return hit !== undefined && hit.value !== null && clock.monotonic() - hit.at < staleMs;
    },
    async get(key: string, read: () => Promise<T | null>): Promise<T | null> {
      const hit = this.fresh(key);
      if (hit !== undefined) return hit.value;
      const old = cache.get(key);
      const { answer, since } = look(key, read);
      const usable = old !== undefined && clock.monotonic() - old.at < staleMs ? old : undefined;
      if (usable === undefined) return answer;
      return new Promise((resolve, reject) => {
        const cancel = clock.after(Math.max(0, since + freshWaitMs - clock.monotonic()), () => resolve(usable.value), { background: true });
        answer.then(resolve, (error: unknown) => (isAway(error) ? resolve(usable.value) : reject(error))).finally(cancel);
      });
    },
    drop(matches: (value: T) => boolean): void {
      for (const [key, entry] of cache) if (entry.value !== null && matches(entry.value)) cache.delete(key);
    },
  };
}

export function createAuthenticator(deps: AuthDeps, options: AuthOptions): Authenticator {
  const { clock, telemetry } = deps;
  const guard = createGuard(clock, 'the key store', options.waitMs);
  const cacheMs = options.cacheMs ?? 900;
  const cached = {
    staleMs: options.staleMs ?? 60_000,
    freshWaitMs: options.freshWaitMs ?? FRESH_WAIT_MS,
    maxCached: options.maxCached ?? 10_000,
  };
  const keys = createCache<StoredKey>(clock, { ...cached, cacheMs });
  const tenants = createCache<TenantRow>(clock, { ...cached, cacheMs: cacheMs * 4 });
  const failures = createFailures(clock, options.failures, deps.shares);

  const findTenant = (named: string, deadline: number | undefined): Promise<TenantRow | null> => {
    const id = named.replace(/^Tenant:/, '').toLowerCase();
    return tenants.get(named, () => guard(() => deps.findTenant(isUuid(id) ? { id } : { name: named }), deadline));
  };

  const viewerOf = async (key: StoredKey, { tenant, deadline }: AuthRequest): Promise<Viewer | AuthFailure> => {
    const base = { keyId: key.id, keyName: key.name, scopes: new Set(SCOPES.filter((scope: Scope) => key.scopes.includes(scope))) };
    if (key.tenantId !== null && (tenant === undefined || tenant === '')) return { ...base, tenantId: key.tenantId, installation: false };
    const wanted = await findTenant(tenant === undefined || tenant === '' ? options.defaultTenant : tenant, deadline);
    if (wanted === null || (key.tenantId !== null && wanted.id !== key.tenantId)) {
      return { code: 'FORBIDDEN', status: 403, message: 'x-flotilla-tenant: expected the name or id of a tenant this key may act in' };
    }
    return { ...base, tenantId: wanted.id, installation: key.tenantId === null };
  };

  const refuse = (remote: string): AuthFailure => {
    failures.failed(remote);
    telemetry.count('limit.rejected', 1, { limit: 'auth' });
    return UNAUTHENTICATED;
  };

  return {
    async authenticate(request) {
      const { authorization, remote, deadline } = request;
      const secret = authorization === undefined ? null : secretOf(authorization);
      if (secret === null) return UNAUTHENTICATED;
      const hash = hashOf(secret);
      const cacheKey = hash.toString('base64');
      // a neighbour's wrong keys do not shut out those whose key was good a moment ago
      if (!keys.knownGood(cacheKey) && !failures.allowed(remote)) {
        telemetry.count('limit.rejected', 1, { limit: 'auth_rate' });
        return {
          code: 'RATE_LIMITED',
          status: 429,
          message: 'too many wrong keys from this address: wait',
          retryAfterMs: failures.retryAfterMs,
        };
      }
      try {
        const key = await keys.get(cacheKey, () => guard(() => deps.findKey(hash), deadline));
        if (key === null || (key.expiresAt !== null && key.expiresAt <= clock.wall())) return refuse(remote);
        return await viewerOf(key, request);
      } catch (error) {
        if (isAway(error)) return UNAVAILABLE;
        throw error;
      }
    },
    forget(keyId) {
      keys.drop((key) => key.id === keyId);
    },
  };
}
