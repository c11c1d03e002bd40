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
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    if (away) {
      socket.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(database.url);
    const there = connect(Number(port), hostname);
    sockets.add(there);
    there.on('error', () => there.destroy());
    socket.pipe(there).pipe(socket);
  });
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
    const url = new URL(database.url);
    url.hostname = '127.0.0.1';
    url.port = String((server.address() as { port: number }).port);
    const sql = connectPostgres(url.href, { applicationName: 'way-back', max: 1 });
    await sql.unsafe('select 1');
    away = true;
    for (const socket of sockets) socket.resetAndDestroy();
    for (const end = clock.monotonic() + 3000; clock.monotonic() < end; await clock.sleep(20)) await sql.unsafe('select 1').catch(() => {});
    away = false;
    const began = clock.monotonic();
    for (let there = false; !there && clock.monotonic() - began < 40_000; )
      there = await sql.unsafe('select 1').then(
        () => true,
        () => false,
      );
    expect(clock.monotonic() - began).toBeLessThan(15_000);
    await sql.end({ timeout: 1 });
  }, 120_000);
});
