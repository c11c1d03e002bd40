import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPostgres, type Sql } from '../../ops/connect/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { listMigrations, type Migration, migrate } from './index.ts';

let database: TestDatabase;
let sql: Sql;
beforeAll(async () => {
  database = await createDatabase();
  sql = database.sql;
});
afterAll(async () => {
  await database.drop();
});

const extra = (number: number, text: string): Migration => ({
  number,
  name: `${String(number).padStart(4, '0')}_extra`,
  text,
  checksum: createHash('sha256').update(text).digest('hex'),
});

it('does nothing to a database that is up to date', async () => {
  expect(await migrate(database.url)).toEqual([]);
});

it('applies a new file once when several runners start together (I1, I2)', async () => {
  const migrations = [...listMigrations(), extra(listMigrations().length + 1, 'create table once (id integer); select pg_sleep(0.1)')];
  const runs = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const own = connectPostgres(database.url, { applicationName: 'runner', max: 1 });
      try {
        return await migrate(own, undefined, migrations);
      } finally {
        await own.end();
      }
    }),
  );
  expect(runs.flat()).toEqual([migrations.length]);
  await expect(migrate(sql)).rejects.toThrow('newer than this build');
});

it('leaves no trace of a file that fails', async () => {
  const known = [...listMigrations(), extra(listMigrations().length + 1, 'create table once (id integer); select pg_sleep(0.1)')];
  const broken = extra(known.length + 1, 'create table half (id integer); select 1 / 0');
  await expect(migrate(sql, undefined, [...known, broken])).rejects.toThrow('division by zero');
  expect(await sql.unsafe(`select to_regclass('half') as half`)).toEqual([{ half: null }]);
});

it('refuses a landed file that has changed (I3)', async () => {
  const [first, ...rest] = listMigrations();
  if (first === undefined) throw new Error('no migrations');
  await expect(migrate(sql, undefined, [{ ...first, checksum: 'other' }, ...rest, extra(rest.length + 2, '')])).rejects.toThrow(
    'has changed',
  );
});
