import { printSchema } from 'graphql';
import { configurationReference } from '../ops/config/index.ts';
import type { Sql } from '../ops/connect/index.ts';
import { dumpSchema } from './migrations/index.ts';

/** What `npm run snapshots` writes and what the tests compare: path from the repository's root, and the text. */
export interface Snapshot {
  readonly path: string;
  readonly text: string;
}

/** The snapshot of the Postgres schema. */
export async function sqlSnapshot(sql: Sql): Promise<Snapshot> {
  return { path: 'schema/schema.sql', text: await dumpSchema(sql) };
}

/** The snapshot of the GraphQL schema. */
export async function graphqlSnapshot(): Promise<Snapshot> {
  const { buildSchema } = await import('./graphql/index.ts');
  return { path: 'schema/schema.graphql', text: `${printSchema(buildSchema())}\n` };
}

/** The reference table of settings. */
export function configurationSnapshot(): Snapshot {
  return { path: 'docs/configuration.md', text: configurationReference() };
}
