import { ApolloClient, ApolloLink, gql, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { subscriptionExchange, Client as UrqlClient } from '@urql/core';
import { createClient as createSseClient } from 'graphql-sse';
import { type Client, createClient } from 'graphql-ws';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { startTestHub, type TestHub } from './testing.ts';

/** Clients as their users have them: nothing of ours on their side. */
let hub: TestHub;
let endings: (() => unknown)[] = [];
beforeEach(async () => {
  hub = await startTestHub({ recheckMs: 50, heartbeatMs: 150 });
});
afterEach(async () => {
  for (const end of endings.reverse()) await end();
  endings = [];
  await hub.lifetime.end();
});
const within = { timeout: 30_000 };
const STATE = 'subscription State { state { seq value } }';

function wsClient(options: { readonly closes?: number[]; readonly pings?: unknown[] } = {}): Client {
  const client = createClient({
    url: `ws://127.0.0.1:${hub.port}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: 'good' },
    retryAttempts: 1000,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
    on: {
      closed: (event) => options.closes?.push((event as { code: number }).code),
      ping: (_received, payload) => options.pings?.push(payload),
    },
  });
  endings.push(() => client.dispose());
  return client;
}
async function one(client: Client, query: string, variables?: Record<string, unknown>): Promise<unknown> {
  const results = client.iterate({ query, ...(variables === undefined ? {} : { variables }) });
  const { value } = await results.next();
  await results.return?.();
  return value;
}

describe('graphql-ws', () => {
  it('queries, mutates, subscribes, keeps its socket over a wrong operation, answers our pings', async () => {
    const closes: number[] = [];
    const pings: unknown[] = [];
    const client = wsClient({ closes, pings });
    const seen: unknown[] = [];
    endings.push(client.subscribe({ query: STATE }, { next: ({ data }) => seen.push(data), error() {}, complete() {} }));
    await expect.poll(() => seen, within).toEqual([{ state: { seq: 0, value: 0 } }]);
    expect(await one(client, '{hello}')).toEqual({ data: { hello: 'world' } });
    expect(await one(client, 'mutation($n: Int!) { add(n: $n) }', { n: 4 })).toEqual({ data: { add: 5 } });
    await expect(one(client, '{nothing')).rejects.toMatchObject([{ message: expect.stringContaining('Syntax Error') }]);
    await expect(one(client, '{nothing}')).rejects.toMatchObject([{ message: expect.stringContaining('nothing') }]);
    hub.state.push(7);
    await expect.poll(() => seen.at(-1), within).toEqual({ state: { seq: 1, value: 7 } });
    await expect.poll(() => pings.length, within).toBeGreaterThan(1);
    expect(closes).toEqual([]);
  });
  it('comes back by itself after 4403 and goes on when the key is good again', async () => {
    const closes: number[] = [];
    const client = wsClient({ closes });
    const seen: { readonly seq: number }[] = [];
    const next = ({ data }: { readonly data?: unknown }): void => void seen.push((data as { state: { seq: number } }).state);
    endings.push(client.subscribe({ query: STATE }, { next, error() {}, complete() {} }));
    await expect.poll(() => seen.length, within).toBe(1);
    const viewer = hub.keys.get('good');
    hub.keys.delete('good');
    await expect.poll(() => closes[0], within).toBe(4403);
    if (viewer !== undefined) hub.keys.set('good', viewer);
    hub.state.push(1);
    await expect.poll(() => seen.at(-1)?.seq, within).toBe(1);
  });
});

describe('graphql-sse, distinct connections', () => {
  it('subscribes, ends on its own side, and the gateway forgets it', async () => {
    const client = createSseClient({ url: `http://127.0.0.1:${hub.port}/graphql`, headers: { authorization: 'good' } });
    endings.push(() => client.dispose());
    const seen: unknown[] = [];
    let completed = false;
    const stop = client.subscribe(
      { query: STATE },
      {
        next: ({ data }) => seen.push(data),
        error() {},
        complete() {
          completed = true;
        },
      },
    );
    await expect.poll(() => seen, within).toEqual([{ state: { seq: 0, value: 0 } }]);
    hub.state.push(3, 2);
    await expect.poll(() => seen.at(-1), within).toEqual({ state: { seq: 2, value: 4 } });
    stop();
    await expect.poll(() => completed, within).toBe(true);
  });
});

describe('urql', () => {
  it('subscribes over graphql-ws', async () => {
    const transport = wsClient();
    const client = new UrqlClient({
      url: 'http://127.0.0.1:1/never',
      preferGetMethod: false,
      exchanges: [
        subscriptionExchange({
          enableAllOperations: true,
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (sink) => ({
              unsubscribe: transport.subscribe(
                { query: query ?? '', variables: variables as Record<string, unknown> },
                { ...sink, next: (result) => sink.next(result as never) },
              ),
            }),
          }),
        }),
      ],
    });
    expect((await client.query('{hello}', {}).toPromise()).data).toEqual({ hello: 'world' });
    const seen: unknown[] = [];
    const { unsubscribe } = client.subscription(STATE, {}).subscribe(({ data }) => seen.push(data));
    endings.push(unsubscribe);
    await expect.poll(() => seen.length, within).toBe(1);
    hub.state.push(9);
    await expect.poll(() => seen.at(-1), within).toMatchObject({ state: { seq: 1, value: 9 } });
    const wrong = await client.query('{nothing}', {}).toPromise();
    expect(wrong.error?.graphQLErrors[0]?.message).toContain('nothing');
  });
});

describe('Apollo Client', () => {
  it('queries and subscribes over graphql-ws, errors per operation', async () => {
    // the link asks whether an error is a WebSocket's, which Node 20 does not have
    vi.stubGlobal('WebSocket', WebSocket);
    endings.push(() => vi.unstubAllGlobals());
    const client = new ApolloClient({ link: ApolloLink.from([new GraphQLWsLink(wsClient())]), cache: new InMemoryCache() });
    endings.push(() => client.stop());
    expect((await client.query({ query: gql('{hello}') })).data).toEqual({ hello: 'world' });
    const seen: unknown[] = [];
    const subscription = client.subscribe({ query: gql(STATE) }).subscribe(({ data }) => seen.push(data));
    endings.push(() => subscription.unsubscribe());
    await expect.poll(() => seen.length, within).toBe(1);
    hub.state.push(5);
    await expect.poll(() => seen.at(-1), within).toMatchObject({ state: { seq: 1, value: 5, __typename: 'Tick' } });
    await expect(client.query({ query: gql('{nothing}') })).rejects.toThrow('nothing');
    expect((await client.query({ query: gql('{hello}'), fetchPolicy: 'no-cache' })).data).toEqual({ hello: 'world' });
  });
});
