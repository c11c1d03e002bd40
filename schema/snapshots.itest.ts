import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDatabase, type TestDatabase } from '../ops/testing/index.ts';
import { configurationSnapshot, graphqlSnapshot, type Snapshot, sqlSnapshot } from './snapshots.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(async () => {
  await database.drop();
});

/** A difference is intended or a mistake; `npm run snapshots` takes it over. */
function expectCommitted({ path, text }: Snapshot): void {
  const file = join(process.cwd(), path);
  expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe(text);
}

it('schema.sql is what the migrations make', async () => {
  expectCommitted(await sqlSnapshot(database.sql));
});
it('schema.graphql is what the code builds', async () => {
  expectCommitted(await graphqlSnapshot());
});
it('docs/configuration.md is what the settings say', () => {
  expectCommitted(configurationSnapshot());
});
