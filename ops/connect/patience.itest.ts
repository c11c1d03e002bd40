import { connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../testing/index.ts';
import { connectPostgres, type Sql } from './index.ts';

/**
 * The story: packets to Postgres were dropped without a word. The server's statement time-out is the server's; on this side statements
 * waited until the kernel gave up, a quarter of an hour later, and held the places of all others.
 */
describe('a Postgres that vanished without a word', () => {
  let database: TestDatabase;
  let sql: Sql;
  let hole = false;
  const sockets = new Set<Socket>();
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on('data', (chunk) => {
      if (!hole) to.write(chunk);
    });
    from.on('error', () => from.destroy());
    from.on('close', () => to.destroy());
  };
  const server = createServer((client) => {
    const { hostname, port } = new URL(database.url);
    const there = connect(Number(port), hostname);
    pass(client, there);
    pass(there, client);
  });
  const open = (max: number): Sql => {
    const url = new URL(database.url);
    url.hostname = '127.0.0.1';
    url.port = String((server.address() as { port: number }).port);
    sql = connectPostgres(url.href, { applicationName: 'patience', max, statementTimeoutMs: 2000, answerTimeoutMs: 5000 });
    return sql;
  };
  const fate = (query: PromiseLike<unknown>): Promise<unknown> =>
    Promise.resolve(query).then(
      () => 'answered',
      (error: unknown) => (error as { code?: unknown }).code,
    );

  beforeAll(async () => {
    database = await createDatabase();
    await database.sql.unsafe('create table marks (name text)');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    hole = false;
    await sql.end({ timeout: 1 });
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await database.drop();
  });
  const untilAnswered = async (): Promise<void> => {
    for (let answer = await fate(sql.unsafe('select 1')); answer !== 'answered'; ) {
      await clock.sleep(50);
      answer = await fate(sql.unsafe('select 1'));
    }
  };

  it('fails what was sent with ETIMEDOUT, drops the connection, and works again on a new one', async () => {
    open(2);
    await Promise.all([sql.unsafe('select 1'), sql.unsafe('select pg_sleep(0.05)')]);
    hole = true;
    // more than there are connections: some are sent behind others
    const fates = await Promise.all(Array.from({ length: 6 }, () => fate(sql.unsafe('select $1::int', [1], { prepare: true }))));
    expect(fates).toContain('ETIMEDOUT');
    expect(fates.filter((code) => code !== 'ETIMEDOUT' && code !== 'CONNECT_TIMEOUT')).toEqual([]);
    hole = false;
    await untilAnswered();
  }, 120_000);

  it('never runs what got no connection and was told so', async () => {
    hole = true;
    open(1);
    const fates = await Promise.all(
      ['a', 'b', 'c'].map((name) => fate(sql.unsafe('insert into marks values ($1)', [name], { prepare: true }))),
    );
    expect(new Set(fates)).toEqual(new Set(['CONNECT_TIMEOUT']));
    hole = false;
    await untilAnswered();
    expect([...(await database.sql.unsafe('select name from marks'))]).toEqual([]);
  }, 120_000);

  it('leaves alone what the server is still working on, and a pool that was idle for long', async () => {
    open(1);
    const [row] = await sql.unsafe('select pg_backend_pid() as pid');
    await clock.sleep(6000);
    expect(await fate(sql.unsafe('select pg_sleep(0.3)'))).toBe('answered');
    expect((await sql.unsafe('select pg_backend_pid() as pid'))[0]).toEqual(row);
    expect(await fate(sql.unsafe('select pg_sleep(30)'))).toBe('57014');
  }, 120_000);
});
