import type { GraphQLSchema } from 'graphql';
import { createKit } from './builder.ts';
import { addLive } from './live/index.ts';

/** Builds the whole schema. Pure: no connections, no state; call it once per process. */
export function buildSchema(): GraphQLSchema {
  const kit = createKit();
  kit.builder.queryType({ description: 'Reads.' });
  kit.builder.mutationType({ description: 'Changes. Each takes one `input` and answers with a payload that holds `errors`.' });
  addLive(kit);
  return kit.builder.toSchema();
}
