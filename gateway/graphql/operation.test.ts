import { describe, expect, it } from 'vitest';
import { buildSchema } from '../../schema/graphql/index.ts';
import { DOCUMENT_CACHE, DOCUMENT_CACHE_CHARACTERS, OPERATION_LIMITS } from './limits.ts';
import { createOperations, isRejected } from './operation.ts';
import { testTelemetry, testViewer } from './testing.ts';

const viewer = testViewer({ scopes: new Set(['viewer']), installation: false });

describe('the cache of documents', () => {
  it('gives the same document again, and holds so many characters and no more, the newest', () => {
    const all = createOperations(buildSchema(), { limits: OPERATION_LIMITS }, testTelemetry());
    const ask = (query: string) => {
      const answer = all.validateOperation({ query }, viewer);
      if (isRejected(answer)) throw new Error(answer.errors[0]?.message);
      return answer.document;
    };
    const first = ask('{ fleet { devices } }');
    expect(ask('{ fleet { devices } }')).toBe(first);
    expect(all.kept).toBe('{ fleet { devices } }'.length);
    // each is another document, most of it blank
    const long = (n: number): string => `query Q${n} { fleet { devices } }`.padEnd(8000);
    for (let n = 0; n < 200; n++) ask(long(n));
    expect(all.kept).toBeLessThanOrEqual(DOCUMENT_CACHE_CHARACTERS);
    expect(all.kept).toBeGreaterThan(DOCUMENT_CACHE_CHARACTERS - 8000);
    expect(ask('{ fleet { devices } }')).not.toBe(first);
    const last = ask(long(199));
    expect(ask(long(199))).toBe(last);
    for (let n = 0; n < DOCUMENT_CACHE + 10; n++) ask(`query S${n} { fleet { devices } }`);
    expect(all.kept).toBeLessThan(DOCUMENT_CACHE * 40);
  });
});
