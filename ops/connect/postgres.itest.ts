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
});
