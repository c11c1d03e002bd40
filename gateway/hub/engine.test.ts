import { buildSchema } from 'graphql';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { Viewer } from '../../schema/graphql/index.ts';
import type { Authenticator } from '../auth/index.ts';
import type { Executor } from '../graphql/index.ts';
import { createEngine } from './engine.ts';
import { testViewer } from './testing.ts';

describe('subscriptions that begin in one tick', () => {
  it('share one context under one key, and none with another key or other rights', async () => {
    const begun: unknown[] = [];
    const schema = buildSchema('type Query { a: Int } type Subscription { s: Int }');
    const field = schema.getSubscriptionType()?.getFields()['s'];
    if (field === undefined) throw new Error('no field');
    field.subscribe = async function* (_root: unknown, _args: unknown, context: unknown) {
      begun.push(context);
      yield 1;
    };
    let made = 0;
    const contextFor = (viewer: Viewer): unknown => {
      made += 1;
      return { viewer };
    };
    const executor = { schema, mask: (error: unknown) => error, contextFor, validateOperation: () => ({}) } as unknown as Executor;
    const engine = createEngine(executor, {} as Authenticator, systemClock);
    const { parse } = await import('graphql');
    const prepared = {
      kind: 'subscription' as const,
      document: parse('subscription { s }'),
      documentHash: '',
      operationName: null,
      variables: {},
    };
    const begin = async (viewer: Viewer): Promise<void> => {
      const source = await engine.subscribe(prepared, viewer);
      if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().next();
    };
    const screen: Viewer = { ...testViewer, scopes: new Set(['screen']) };
    await Promise.all([...Array.from({ length: 20 }, () => testViewer), { ...testViewer, keyId: 'other' }, screen].map(begin));
    expect([begun.length, made]).toEqual([22, 3]);
    await begin(testViewer);
    expect(made).toBe(4);
  });
});
