import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readAsset, systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { checkKeyRing, createPostgresStore, createSessionStore, type DeviceSession, parseKeyRing, type SessionStore } from './index.ts';

const ring = (id: string, fill: number): string => `${id}:${Buffer.alloc(32, fill).toString('base64')}`;
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => 'no error').catch((error: { code?: unknown }) => error.code);

let database: TestDatabase;
let store: SessionStore;
let device: string;

async function newDevice(epoch: number): Promise<string> {
  const tenant = uuidV7(systemClock.wall());
  const id = uuidV7(systemClock.wall());
  const { sql } = database;
  await sql`insert into tenants (id, name) values (${tenant}, ${tenant})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${tenant}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch) values (${id}, 1, ${epoch})`;
  return id;
}
const raiseEpoch = (epoch: number): Promise<unknown> => database.sql`update ownership set epoch = ${epoch} where device_id = ${device}`;
const fresh = (): SessionStore => createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(ring('a', 1)) });
const stored = async (): Promise<number> => {
  const rows = await database.sql<{ count: number }[]>`select count(*)::int as count from session_keys where device_id = ${device}`;
  return rows[0]?.count ?? -1;
};

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  device = await newDevice(5);
  store = fresh();
});

describe('creds', () => {
  it('are null before the first save, and come back whole with their bytes', async () => {
    const session = await store.open(device, 5);
    expect(session.creds).toBeNull();
    session.saveCreds({ me: { id: 'x' }, noiseKey: { private: Buffer.from([1, 2, 3]) } });
    await session.flush();
    expect((await fresh().open(device, 5)).creds).toEqual({ me: { id: 'x' }, noiseKey: { private: Buffer.from([1, 2, 3]) } });
  });

  it('are sealed at rest', async () => {
    const session = await store.open(device, 5);
    session.saveCreds({ advSecretKey: 'very-secret-word' });
    await session.flush();
    const [row] = await database.sql<{ creds: Uint8Array }[]>`select creds from sessions where device_id = ${device}`;
    expect(Buffer.from(row?.creds ?? []).includes('very-secret-word')).toBe(false);
  });

  it('are written one at a time and the last one wins (I3)', async () => {
    const session = await store.open(device, 5);
    const creds = { counter: 0 };
    for (let i = 1; i <= 50; i++) {
      creds.counter = i;
      session.saveCreds(creds);
    }
    await session.flush();
    expect((await fresh().open(device, 5)).creds).toEqual({ counter: 50 });
  });

  it('of a stale owner are refused, and flush says so (I1, I4)', async () => {
    const session = await store.open(device, 5);
    session.saveCreds({ owner: 5 });
    await session.flush();
    await raiseEpoch(6);
    session.saveCreds({ owner: 'stale' });
    expect(await codeOf(session.flush())).toBe('SESSION_FENCED');
    expect((await fresh().open(device, 6)).creds).toEqual({ owner: 5 });
  });
});

describe('keys', () => {
  it('of all ten types are kept apart, and null deletes', async () => {
    const types = ['pre-key', 'session', 'sender-key', 'sender-key-memory', 'app-state-sync-key', 'app-state-sync-version', 'lid-mapping'];
    types.push('device-list', 'tctoken', 'identity-key');
    const session = await store.open(device, 5);
    await session.set(Object.fromEntries(types.map((type) => [type, { '1': { type }, '2': Buffer.from(type) }])));
    await session.set({ tctoken: { '1': null }, session: { '2': null, '3': 'new' } });
    for (const reader of [session, await fresh().open(device, 5)]) {
      expect(await reader.get('tctoken', ['1', '2'])).toEqual({ '2': Buffer.from('tctoken') });
      expect(await reader.get('session', ['1', '2', '3', '4'])).toEqual({ '1': { type: 'session' }, '3': 'new' });
      expect(await reader.get('lid-mapping', ['1'])).toEqual({ '1': { type: 'lid-mapping' } });
    }
    expect(await stored()).toBe(19);
  });

  it('of one call are written all or none (I2)', async () => {
    const session = await store.open(device, 5);
    await session.set({ session: { a: 'old' } });
    // an id with a zero byte cannot be stored by Postgres
    await expect(session.set({ session: { a: 'new' }, 'pre-key': { 'b\0': 'x' } })).rejects.toThrow();
    expect(await session.get('session', ['a'])).toEqual({ a: 'old' });
    expect(await stored()).toBe(1);
  });

  it('of a stale owner are refused, also in the cache (I1, I2)', async () => {
    const session = await store.open(device, 5);
    await session.set({ session: { a: 'old' } });
    await raiseEpoch(6);
    expect(await codeOf(session.set({ session: { a: 'stale', b: 'stale' } }))).toBe('SESSION_FENCED');
    expect(await codeOf(session.erase())).toBe('SESSION_FENCED');
    expect(await session.get('session', ['a', 'b'])).toEqual({ a: 'old' });
    expect(await stored()).toBe(1);
  });

  it('of a stale owner do not land when the epoch rises in the same moment', async () => {
    const session = await store.open(device, 5);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let write: Promise<unknown> = Promise.resolve();
    await database.sql.begin(async (transaction) => {
      await transaction`update ownership set epoch = 6 where device_id = ${device}`;
      write = codeOf(session.set({ session: { a: 'stale' } }));
      await Promise.race([held, systemClock.sleep(200)]);
      release();
    });
    expect(await write).toBe('SESSION_FENCED');
    expect(await stored()).toBe(0);
  });

  it('are not served from an earlier ownership (I5)', async () => {
    const first = await store.open(device, 5);
    await first.set({ session: { a: 'mine' } });
    await raiseEpoch(6);
    const other = await fresh().open(device, 6);
    await other.set({ session: { a: 'theirs' } });
    await raiseEpoch(7);
    expect(await (await store.open(device, 7)).get('session', ['a'])).toEqual({ a: 'theirs' });
  });

  it('are answered from the cache, within its cap', async () => {
    const small = createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(ring('a', 1)) }, { cacheBytes: 4000 });
    const session = await small.open(device, 5);
    for (let i = 0; i < 50; i++) await session.set({ session: { [`${i}`]: 'x'.repeat(100) } });
    expect(small.cacheBytes).toBeLessThanOrEqual(4000);
    await database.sql`delete from session_keys where device_id = ${device}`;
    expect(await session.get('session', ['49'])).toEqual({ '49': 'x'.repeat(100) });
    expect(await session.get('session', ['0'])).toEqual({});
  });
});

describe('what cannot be read', () => {
  const keep = async (): Promise<DeviceSession> => {
    const session = await store.open(device, 5);
    session.saveCreds({ me: 1 });
    await session.flush();
    await session.set({ session: { a: 'x' } });
    return session;
  };

  it('a corrupt blob is a named error and stays where it is', async () => {
    await keep();
    await database.sql`update sessions set creds = ${randomBytes(200)} where device_id = ${device}`;
    expect(await codeOf(fresh().open(device, 5))).toBe('SESSION_CORRUPT');
    const rows = await database.sql`select 1 from sessions where device_id = ${device}`;
    expect(rows.length).toBe(1);
  });

  it("another device's blob does not open", async () => {
    await keep();
    const [row] = await database.sql<{ creds: Uint8Array }[]>`select creds from sessions where device_id = ${device}`;
    device = await newDevice(1);
    await database.sql`insert into sessions (device_id, creds, epoch) values (${device}, ${Buffer.from(row?.creds ?? [])}, 1)`;
    expect(await codeOf(fresh().open(device, 1))).toBe('SESSION_CORRUPT');
  });

  it('the wrong ring is told apart from damage', async () => {
    await keep();
    const foreign = createSessionStore({ sealed: createPostgresStore(database.sql), ring: parseKeyRing(ring('b', 2)) });
    expect(await codeOf(foreign.open(device, 5))).toBe('SESSION_KEY_UNKNOWN');
    const rotated = createSessionStore({
      sealed: createPostgresStore(database.sql),
      ring: parseKeyRing(`${ring('b', 2)},${ring('a', 1)}`),
    });
    expect((await rotated.open(device, 5)).creds).toEqual({ me: 1 });
  });

  it('the wrong ring is found before anything is read: missing key, other key under the same id; damage alone is not it', async () => {
    await database.sql`delete from sessions`;
    const check = (text: string): Promise<unknown> => codeOf(checkKeyRing(createPostgresStore(database.sql), parseKeyRing(text)));
    expect(await check(ring('b', 2))).toBe('no error');
    await keep();
    expect(await check(ring('a', 1))).toBe('no error');
    expect(await check(`${ring('b', 2)},${ring('a', 1)}`)).toBe('no error');
    expect(await check(ring('b', 2))).toBe('SESSION_KEY_UNKNOWN');
    const damaged = device;
    device = await newDevice(5);
    await keep();
    expect(await check(ring('a', 2))).toBe('SESSION_KEY_UNKNOWN');
    // one damaged session: the ring is right all the same
    await database.sql`update sessions set creds = overlay(creds placing '\\x0000'::bytea from 40 for 2) where device_id = ${damaged}`;
    expect(await check(ring('a', 1))).toBe('no error');
    await database.sql`update sessions set creds = ${randomBytes(200)}`;
    expect(await check(ring('b', 2))).toBe('no error');
  });

  it('a corrupt key is a named error', async () => {
    await keep();
    await database.sql`update session_keys set value = ${Buffer.from('junk')} where device_id = ${device}`;
    const session = await fresh().open(device, 5);
    expect(await codeOf(session.get('session', ['a']))).toBe('SESSION_CORRUPT');
  });
});

it('erase removes creds and keys', async () => {
  const session = await store.open(device, 5);
  session.saveCreds({ me: 1 });
  await session.set({ session: { a: 'x' } });
  await session.erase();
  expect(await stored()).toBe(0);
  expect((await fresh().open(device, 5)).creds).toBeNull();
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly Plans?: readonly PlanNode[];
}

/** A write that used up a pre-key took 40 ms with 300 devices: the planner went through the keys of all devices before this one. */
describe('statements', () => {
  it.each([
    ['./set-keys.sql', (id: string) => [id, 5, ['session', 'pre-key'], ['x.0', '250'], [Buffer.from('v').toString('base64'), null]]],
    ['./erase.sql', (id: string) => [id, 5]],
  ])('%s reads the keys of its own device only', async (file, parameters) => {
    const { sql } = database;
    const others = 20;
    for (let n = 0; n < others; n++) {
      await sql`insert into session_keys (device_id, type, id, value)
        select ${await newDevice(1)}, 'pre-key', g::text, ''::bytea from generate_series(1, 500) g`;
    }
    const last = await newDevice(5);
    await sql`insert into session_keys (device_id, type, id, value) select ${last}, 'pre-key', g::text, ''::bytea from generate_series(1, 500) g`;
    await sql`analyze session_keys`;
    const text = readAsset(import.meta.url, file);
    const [row] = await sql.unsafe<{ 'QUERY PLAN': { Plan: PlanNode }[] }[]>(
      `explain (analyze, format json) ${text}`,
      parameters(last) as Parameters<typeof sql.unsafe>[1],
    );
    const nodes = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
    const reads = (row?.['QUERY PLAN'] ?? []).flatMap(({ Plan }) => nodes(Plan)).filter((node) => /Scan$/.test(node['Node Type']));
    const rows = reads.filter((node) => node['Relation Name'] === 'session_keys').map((node) => node['Actual Rows']);
    expect(rows.length).toBeGreaterThan(0);
    // those of its own device, at most
    expect(Math.max(...rows)).toBeLessThanOrEqual(500);
    const [left] = await sql<{ n: number }[]>`select count(*)::int as n from session_keys where device_id = ${last} and type = 'pre-key'`;
    expect(left?.n).toBe(file === './erase.sql' ? 0 : 499);
  });
});
