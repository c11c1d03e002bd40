import type { Sql } from '../../ops/connect/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';
import { type KeyRing, keyIdOf, proxyContext, webhookContext } from './key-ring.ts';
import type { Sealed } from './sealed.ts';
import { contextOf } from './store.ts';

export interface Resealed {
  /** sessions, or devices with a proxy and webhooks */
  readonly owners: number;
  /** blobs looked at, sealed anew, and those somebody wrote in the same moment (sealed with the newest key by that) */
  readonly blobs: number;
  readonly resealed: number;
  readonly overtaken: number;
  /** blobs that do not open: left as they are. `owner`: a device's id, or a webhook's */
  readonly unreadable: readonly { readonly owner: string; readonly type: string; readonly code: string }[];
  /** what still is sealed with another key than the newest, by key */
  readonly left: Readonly<Record<string, number>>;
}

const AT_ONCE = 200;

/** Opens blobs, seals anew what needs it and counts; whoever uses it puts the fresh ones in place. */
function createCount(ring: KeyRing, dry: boolean) {
  const totals = { owners: 0, blobs: 0, resealed: 0, overtaken: 0 };
  const unreadable: { owner: string; type: string; code: string }[] = [];
  const left: Record<string, number> = {};
  const leave = (key: string): void => {
    left[key] = (left[key] ?? 0) + 1;
  };
  return {
    owner: () => void totals.owners++,
    /** undefined: nothing to put in its place */
    fresh(owner: string, type: string, value: Uint8Array, context: string): Buffer | undefined {
      totals.blobs += 1;
      const sealedWith = keyIdOf(value) ?? '(damaged)';
      try {
        const plain = ring.open(value, context);
        if (sealedWith === ring.sealsWith) return undefined;
        if (!dry) return ring.seal(plain, context);
      } catch (error) {
        if (!(error instanceof FlotillaError)) throw error;
        unreadable.push({ owner, type, code: error.code });
      }
      leave(sealedWith);
      return undefined;
    },
    put(asked: number, swapped: number): void {
      totals.resealed += swapped;
      totals.overtaken += asked - swapped;
    },
    result: (): Resealed => ({ ...totals, unreadable, left }),
  };
}

/**
 * Seals all sessions with the ring's newest key, while nodes run (Postgres, Redis): a blob is replaced only if it still is what was read. `dry`: only counts.
 * Afterwards `left` says which old keys are still needed.
 */
export async function resealSessions(sealed: Sealed, ring: KeyRing, dry = false): Promise<Resealed> {
  const count = createCount(ring, dry);
  for (const device of await sealed.devices()) {
    const session = await sealed.read(device);
    if (session === null) continue;
    count.owner();
    const changes: { type: string; id: string; old: Uint8Array; fresh: Buffer }[] = [];
    for (const { type, id, value } of [{ type: '', id: '', value: session.creds }, ...session.keys]) {
      const context = type === '' ? contextOf(device, 'creds', '') : contextOf(device, type, id);
      const fresh = count.fresh(device, type === '' ? 'creds' : type, value, context);
      if (fresh !== undefined) changes.push({ type, id, old: value, fresh });
    }
    for (let from = 0; from < changes.length; from += AT_ONCE) {
      const some = changes.slice(from, from + AT_ONCE);
      count.put(some.length, await sealed.swap(device, some));
    }
  }
  return count.result();
}

interface Kept {
  readonly id: string;
  readonly value: Uint8Array;
}

/** What else the ring seals, all of it in Postgres. `swap` changes nothing where `old` stands no more. */
const SECRETS: readonly {
  readonly type: string;
  context(id: string): string;
  all(sql: Sql): Promise<readonly Kept[]>;
  swap(sql: Sql, id: string, old: Buffer, fresh: Buffer): Promise<{ readonly count: number }>;
}[] = [
  {
    type: 'proxy',
    context: proxyContext,
    all: (sql) => sql<Kept[]>`
      select id, decode(settings #>> '{proxy,sealed}', 'base64') as value from devices where settings #>> '{proxy,sealed}' is not null order by id`,
    // nodes and gateways open the old blob as well: no device's settings are said to have changed
    swap: (sql, id, old, fresh) => sql`
      update devices set settings = jsonb_set(settings, '{proxy,sealed}', to_jsonb(${fresh.toString('base64')}::text))
      where id = ${id} and decode(settings #>> '{proxy,sealed}', 'base64') = ${old}`,
  },
  {
    type: 'webhook',
    context: webhookContext,
    all: (sql) => sql<Kept[]>`select id, secret as value from webhooks where deleted_at is null order by id`,
    swap: (sql, id, old, fresh) => sql`update webhooks set secret = ${fresh} where id = ${id} and secret = ${old}`,
  },
];

/** As `resealSessions`, for the addresses of proxies and the secrets of webhooks. */
export async function resealSecrets(sql: Sql, ring: KeyRing, dry = false): Promise<Resealed> {
  const count = createCount(ring, dry);
  for (const { type, context, all, swap } of SECRETS) {
    for (const { id, value } of await all(sql)) {
      count.owner();
      const fresh = count.fresh(id, type, value, context(id));
      if (fresh !== undefined) count.put(1, (await swap(sql, id, Buffer.from(value), fresh)).count);
    }
  }
  return count.result();
}
