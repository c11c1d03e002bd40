import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../testing/index.ts';
import { connectPostgres } from './index.ts';

/**
 * The story: a node's way to Postgres was reset for 3 s. Its tries had by then backed off to up to 20 s (the client's default), so its
 * devices stood still for 13 s after the way was back.
 */
describe('the way back to Postgres', () => {
  let database: TestDatabase;
  let away = false;
  let refused = 0;
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    if (away) {
      refused += 1;
      socket.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(database.url);
    const there = connect(Number(port), hostname);
    sockets.add(there);
    there.on('error', () => there.destroy());
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    socket.pipe(there).pipe(socket);
  });
  const wayTo = (): string => {
    const url = new URL(database.url);
    url.hostname = '127.0.0.1';
    url.port = String((server.address() as { port: number }).port);
    return url.href;
  };
  beforeAll(async () => {
    database = await createDatabase();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await database.drop();
  });

  it('is found soon after an outage of seconds, not a back-off of half a minute later', async () => {
    const sql = connectPostgres(wayTo(), { applicationName: 'way-back', max: 1 });
    await sql.unsafe('select 1');
    away = true;
    for (const socket of sockets) socket.resetAndDestroy();
    // a client that backs off to 20 s makes no fifteen tries in this time, however fast the machine
    for (const end = clock.monotonic() + 60_000; refused < 15 && clock.monotonic() < end; await clock.sleep(20))
      await sql.unsafe('select 1').catch(() => {});
    expect(refused).toBeGreaterThanOrEqual(15);
    away = false;
    const answered = (): Promise<boolean> =>
      sql.unsafe('select 1').then(
        () => true,
        () => false,
      );
    await expect.poll(answered).toBe(true);
    await sql.end({ timeout: 1 });
  }, 120_000);

  /** Postgres lost its replies in two of a hundred cases, and three nodes ended within two seconds: a promise of the client's own that nobody could hear. */
  it('asks a new connection nothing by itself, and knows the arrays that are ours', async () => {
    heard = '';
    const sql = connectPostgres(wayTo(), { applicationName: 'arrays', max: 1 });
    const [row] = await sql.unsafe(
      "select '{a,NULL,\"b,\\\"c\"}'::text[] as texts, '{1,2}'::int[] as ints, '{9007199254740991}'::bigint[] as longs, array[true, false] as flags, '{1.5}'::float8[] as floats, " +
        "array['\\x00ff'::bytea] as bytes, '{2026-01-02T03:04:05Z}'::timestamptz[] as times, '{018f0000-0000-7000-8000-000000000001}'::uuid[] as ids, array['{\"a\":1}'::jsonb] as objects",
    );
    expect(row).toEqual({
      texts: ['a', null, 'b,"c'],
      ints: [1, 2],
      longs: [9007199254740991],
      flags: [true, false],
      floats: [1.5],
      bytes: [Buffer.from([0, 255])],
      times: [new Date('2026-01-02T03:04:05Z')],
      ids: ['018f0000-0000-7000-8000-000000000001'],
      objects: [{ a: 1 }],
    });
    const given = ['a', null, 'b,"c\\'];
    const [back] = await sql<{ texts: string[] }[]>`select ${given}::text[] as texts`;
    expect(back?.texts).toEqual(given);
    expect(heard).toContain('as texts');
    expect(heard).not.toContain('pg_type');
    await sql.end({ timeout: 1 });
  });
});
