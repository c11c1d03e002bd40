import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findBreakingChanges, buildSchema as fromSdl, type GraphQLSchema, printSchema } from 'graphql';
import { describe, expect, it } from 'vitest';
import { buildSchema } from './index.ts';

const RELEASES = fileURLToPath(new URL('../releases/', import.meta.url));
const place = (name: string): number =>
  name
    .replace('.graphql', '')
    .split('.')
    .reduce((sum, part) => sum * 1000 + Number(part), 0);
const newest = readdirSync(RELEASES)
  .filter((name) => /^\d+\.\d+\.\d+\.graphql$/.test(name))
  .sort((a, b) => place(a) - place(b))
  .at(-1);
const released = fromSdl(readFileSync(`${RELEASES}${newest}`, 'utf8'));
const changes = (schema: GraphQLSchema): string[] => findBreakingChanges(released, schema).map((change) => change.description);

describe('clients of the last release', () => {
  it('find everything they use', () => {
    expect(newest).toBeDefined();
    expect(changes(buildSchema())).toEqual([]);
  });

  // without descriptions, so that a pattern finds the line itself
  const text = printSchema(buildSchema()).replace(/"""[\s\S]*?"""\s*/g, '');
  it.each([
    ['a field that is gone', /\bsendability: Sendability!\s/, ''],
    ['an enum value that is gone', /\bTHROTTLED\s/, ''],
    ['a new required argument', /\bsince: LivePosition\b/, 'since: LivePosition!'],
    ['another type', /\bbacklog: Int!/, 'backlog: String!'],
  ])('the check finds %s', (_name, pattern, instead) => {
    const planted = text.replace(pattern, instead);
    expect(planted).not.toBe(text);
    expect(changes(fromSdl(planted)).length).toBeGreaterThan(0);
  });
});
