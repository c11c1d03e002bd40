import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getIntrospectionQuery } from 'graphql';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { buildSchema } from '../../schema/graphql/index.ts';
import { createDocuments, hashOfDocument, readTrustedDocuments } from './documents.ts';
import { createExecutor } from './executor.ts';
import { createGraphqlHttp } from './http.ts';
import { isRejected, type OperationsOptions } from './operation.ts';
import { testRequest, testServices, testTelemetry, testViewer } from './testing.ts';

const QUERY = '{ fleet { devices } }';
const OTHER = '{ fleet { backlog } }';
const persisted = (text: string) => ({ persistedQuery: { version: 1, sha256Hash: hashOfDocument(text) } });
const viewer = (scope: 'admin' | 'viewer' | 'screen') => testViewer({ scopes: new Set([scope]), installation: false });

const executorOf = (options: Partial<OperationsOptions>) =>
  createExecutor(
    {
      schema: buildSchema(),
      services: testServices(async () => {
        throw new Error('not here');
      }),
      clock: systemClock,
      telemetry: testTelemetry(),
    },
    options,
  );
/** the code of the refusal, or 'ok' */
function verdict(options: Partial<OperationsOptions>, scope: Parameters<typeof viewer>[0] = 'viewer') {
  const executor = executorOf(options);
  return (query: string, extensions?: Record<string, unknown>): unknown => {
    const answer = executor.validateOperation({ query, extensions }, viewer(scope));
    return isRejected(answer) ? answer.errors[0]?.extensions['code'] : 'ok';
  };
}

describe('persisted documents', () => {
  it('apq: what came once with its hash may be named; a wrong hash is refused and keeps nothing', () => {
    const ask = verdict({ documents: createDocuments({ mode: 'apq' }) });
    expect(ask('', persisted(QUERY))).toBe('PERSISTED_QUERY_NOT_FOUND');
    expect(ask(QUERY, persisted(OTHER))).toBe('BAD_REQUEST');
    expect(ask('', persisted(OTHER))).toBe('PERSISTED_QUERY_NOT_FOUND');
    expect(ask(QUERY, persisted(QUERY))).toBe('ok');
    expect(ask('', persisted(QUERY))).toBe('ok');
    expect(ask('', { persistedQuery: { sha256Hash: 'zz' } })).toBe('BAD_REQUEST');
    expect(ask('', { persistedQuery: { sha256Hash: { toString: 1 } } })).toBe('BAD_REQUEST');
  });

  it('apq keeps a bounded number of them', () => {
    const documents = createDocuments({ mode: 'apq' });
    for (let at = 0; at < 2_500; at++) documents.resolve({ query: `{ a${at} }`, extensions: persisted(`{ a${at} }`) }, false);
    expect(documents.resolve({ query: '', extensions: persisted('{ a0 }') }, false)).toBeInstanceOf(Error);
    expect(documents.resolve({ query: '', extensions: persisted('{ a2499 }') }, false)).toBe('{ a2499 }');
  });

  it('trusted: the list runs, by name or as text, and nothing else but for admins', () => {
    const folder = mkdtempSync(join(tmpdir(), 'documents-'));
    const file = join(folder, 'list.json');
    writeFileSync(file, JSON.stringify({ fleet: QUERY }));
    const documents = createDocuments({ mode: 'trusted', trusted: readTrustedDocuments(file) });
    rmSync(folder, { recursive: true });
    const ask = verdict({ documents });
    expect(ask('', persisted(QUERY))).toBe('ok');
    expect(ask(QUERY)).toBe('ok');
    expect(ask(OTHER)).toBe('DOCUMENT_NOT_TRUSTED');
    expect(ask(OTHER, persisted(OTHER))).toBe('DOCUMENT_NOT_TRUSTED');
    expect(ask('', persisted(OTHER))).toBe('PERSISTED_QUERY_NOT_FOUND');
    expect(verdict({ documents }, 'admin')(OTHER)).toBe('ok');
  });

  it('off: a document that is only named is told so', () => {
    expect(verdict({})('', persisted(QUERY))).toBe('PERSISTED_QUERY_NOT_SUPPORTED');
    expect(verdict({})(QUERY, persisted(OTHER))).toBe('ok');
  });

  it('both ways of HTTP take them: POST and GET', async () => {
    const executor = executorOf({ documents: createDocuments({ mode: 'apq' }) });
    const auth = { authenticate: async () => testViewer(), forget: () => {} };
    const run = createGraphqlHttp({ executor, auth, clock: systemClock, telemetry: testTelemetry() });
    const ask = async (body: unknown, get = false) => {
      const text = JSON.stringify(body);
      const query = get ? `extensions=${encodeURIComponent(JSON.stringify((body as { extensions: unknown }).extensions))}` : '';
      const answer = await run(testRequest({ method: get ? 'GET' : 'POST', text, query }));
      return JSON.parse(String(answer.body));
    };
    expect((await ask({ extensions: persisted(QUERY) })).errors[0]).toMatchObject({
      message: 'PersistedQueryNotFound',
      extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' },
    });
    expect((await ask({ extensions: persisted(QUERY) }, true)).errors[0].extensions.code).toBe('PERSISTED_QUERY_NOT_FOUND');
    expect((await ask({ query: QUERY, extensions: persisted(QUERY) })).data).toEqual({ fleet: { devices: 1 } });
    expect((await ask({ extensions: persisted(QUERY) })).data).toEqual({ fleet: { devices: 1 } });
    expect((await ask({ extensions: persisted(QUERY) }, true)).data).toEqual({ fleet: { devices: 1 } });
  });
});

describe('V1: what a key learns of the schema', () => {
  it.each([
    ['screen', undefined, false],
    ['viewer', undefined, true],
    ['viewer', 'admin', false],
    ['admin', 'admin', true],
  ] as const)('scope %s, introspection for %s', (scope, introspection, curious) => {
    const executor = executorOf(introspection === undefined ? {} : { introspection });
    const asked = executor.validateOperation({ query: getIntrospectionQuery() }, viewer(scope));
    expect(isRejected(asked)).toBe(!curious);
    const wrong = executor.validateOperation({ query: '{ fleet { device } }' }, viewer(scope));
    const message = isRejected(wrong) ? (wrong.errors[0]?.message ?? '') : '';
    expect(message).toContain('Cannot query field "device"');
    expect(message.includes('Did you mean')).toBe(curious);
    const argument = executor.validateOperation({ query: '{ fleet { history(spam: DAY) { stepSeconds } } }' }, viewer(scope));
    expect(JSON.stringify(argument).includes('Did you mean')).toBe(curious);
    expect(isRejected(executor.validateOperation({ query: '{ __typename fleet { __typename } }' }, viewer(scope)))).toBe(false);
  });
});
