import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { dial, startTestHub, type TestHub, type TestSocket } from './testing.ts';

/** graphql-transport-ws rule by rule, over the wire, with a stock `ws` client. Source: graphql-ws, PROTOCOL.md. */
let hub: TestHub;
let sockets: TestSocket[] = [];
beforeEach(async () => {
  hub = await startTestHub({ initTimeoutMs: 60_000, recheckMs: 50 });
});
/** the same with other times */
const again = async (options: Parameters<typeof startTestHub>[0]): Promise<void> => {
  await hub.lifetime.end();
  hub = await startTestHub(options);
};
afterEach(async () => {
  for (const { ws } of sockets) ws.terminate();
  sockets = [];
  await hub.lifetime.end();
});
const open = async (options: Parameters<typeof dial>[1] = {}): Promise<TestSocket> => {
  const socket = await dial(hub.port, options);
  sockets.push(socket);
  return socket;
};
const subscribe = (id: unknown, query: string, variables?: unknown): unknown => ({ type: 'subscribe', id, payload: { query, variables } });
const quiet = (): Promise<void> => systemClock.sleep(40);
let pings = 0;
/** Resolves when the hub has heard all that this socket has said, and the socket all that the hub has answered until then. */
const heard = async (socket: TestSocket): Promise<void> => {
  pings += 1;
  const payload = { ping: pings };
  socket.send({ type: 'ping', payload });
  await expect.poll(() => socket.messages.at(-1)).toEqual({ type: 'pong', payload });
};
const withoutPongs = (socket: TestSocket): TestSocket['messages'] => socket.messages.filter((message) => message['type'] !== 'pong');

describe('closes with', () => {
  const init = { type: 'connection_init', payload: { authorization: 'good' } };
  const rows: readonly [string, { readonly first?: 'init'; readonly send: readonly unknown[] }, number, RegExp][] = [
    ['4400 for what is no JSON', { send: ['}{'] }, 4400, /Invalid message/],
    ['4400 for JSON that is no object', { send: ['[1]'] }, 4400, /Invalid message/],
    ['4400 for a text frame as binary', { send: [Buffer.from(JSON.stringify(init))] }, 4400, /text/],
    ['4400 for an unknown type', { first: 'init', send: [{ type: 'start', id: '1' }] }, 4400, /type/],
    ['4400 for a missing type', { send: [{ id: '1' }] }, 4400, /type/],
    ['4400 for an init payload that is no object', { send: [{ type: 'connection_init', payload: 'x' }] }, 4400, /payload/],
    ['4400 for a subscribe without id', { first: 'init', send: [subscribe(undefined, '{hello}')] }, 4400, /id/],
    ['4400 for an id that is no text', { first: 'init', send: [subscribe(7, '{hello}')] }, 4400, /id/],
    ['4400 for an empty id', { first: 'init', send: [subscribe('', '{hello}')] }, 4400, /id/],
    ['4400 for an id above 64 bytes', { first: 'init', send: [subscribe('é'.repeat(33), '{hello}')] }, 4400, /64/],
    ['4400 for a subscribe without payload', { first: 'init', send: [{ type: 'subscribe', id: '1' }] }, 4400, /payload/],
    ['4400 for a query that is no text', { first: 'init', send: [subscribe('1', 5 as never)] }, 4400, /query/],
    ['4400 for variables that are no object', { first: 'init', send: [subscribe('1', '{hello}', 'x')] }, 4400, /variables/],
    ['4400 for a complete without id', { first: 'init', send: [{ type: 'complete' }] }, 4400, /id/],
    ['4401 for a subscribe before the ack', { send: [subscribe('1', '{hello}')] }, 4401, /Unauthorized/],
    ['4401 for a subscribe while the key is checked', { send: [init, subscribe('1', '{hello}')] }, 4401, /Unauthorized/],
    ['4403 for a wrong key', { send: [{ type: 'connection_init', payload: { authorization: 'bad' } }] }, 4403, /Forbidden/],
    ['4403 for no key', { send: [{ type: 'connection_init' }] }, 4403, /Forbidden/],
    ['1013 when keys cannot be checked now', { send: [{ type: 'connection_init', payload: { authorization: 'later' } }] }, 1013, /later/],
    [
      '4500 for a fault of ours, which says nothing of itself',
      { send: [{ type: 'connection_init', payload: { authorization: 'explode' } }] },
      4500,
      /^Internal server error$/,
    ],
    ['4408 without an init in time', { send: [] }, 4408, /timeout/],
    [
      '4409 for an id in use',
      { first: 'init', send: [subscribe('a', 'subscription{state{seq}}'), subscribe('a', '{hello}')] },
      4409,
      /Subscriber for a already exists/,
    ],
    ['4409 for an id whose query still runs', { first: 'init', send: [subscribe('a', '{slow}'), subscribe('a', '{hello}')] }, 4409, /a/],
    ['4429 for a second init', { first: 'init', send: [init] }, 4429, /Too many/],
    ['4429 for a second init before the ack', { send: [init, init] }, 4429, /Too many/],
    ['1008 for too many messages', { first: 'init', send: Array(3000).fill({ type: 'ping' }) }, 1008, /messages/],
  ];
  for (const [name, { first, send }, code, reason] of rows) {
    it(name, async () => {
      if (code === 4408) await again({ initTimeoutMs: 150 });
      const socket = await open({ key: first === 'init' ? 'good' : null });
      for (const message of send) socket.send(message);
      const closed = await socket.closed;
      expect(closed.code).toBe(code);
      expect(closed.reason).toMatch(reason);
    });
  }
  for (const protocol of ['graphql-ws', null]) {
    it(`4406 for the subprotocol ${protocol ?? '(none)'}, which is not echoed`, async () => {
      // a client that asked for one gives up by itself when none is echoed, so this one reads the wire
      const { rawUpgrade } = await import('../server/testing.ts');
      const { tcp, head, rest } = await rawUpgrade(hub.port, '/graphql', protocol === null ? {} : { 'Sec-WebSocket-Protocol': protocol });
      expect(head).toMatch(/^HTTP\/1\.1 101/);
      expect(head).not.toMatch(/sec-websocket-protocol/i);
      const frame = rest.length > 0 ? rest : await new Promise<Buffer>((resolve) => tcp.once('data', resolve));
      expect([frame[0], frame.readUInt16BE(2)]).toEqual([0x88, 4406]);
      tcp.destroy();
    });
  }
  it('1012 when the gateway goes down', async () => {
    const socket = await open();
    void hub.server.drain({ windowMs: 0, deadlineMs: 1_000 });
    expect((await socket.closed).code).toBe(1012);
  });
  it('1009 or 1006 for a frame above the limit, before anything is parsed', async () => {
    const socket = await open();
    socket.send(subscribe('1', `{hello #${'x'.repeat(140 * 1024)}\n}`));
    expect([1006, 1009]).toContain((await socket.closed).code);
  });
});

describe('keeps the socket and', () => {
  it('answers a query with next and complete, a syntax or validation fault with error', async () => {
    const socket = await open();
    socket.send(subscribe('q', '{hello}'));
    expect(await socket.next()).toEqual({ id: 'q', type: 'next', payload: { data: { hello: 'world' } } });
    expect(await socket.next()).toEqual({ id: 'q', type: 'complete' });
    for (const query of ['{hello', '{nothing}']) {
      socket.send(subscribe('q', query));
      expect(await socket.next()).toMatchObject({ id: 'q', type: 'error', payload: [{ message: expect.any(String) }] });
    }
    socket.send(subscribe('q', 'mutation($n: Int!) { add(n: $n) }', { n: 4 }));
    expect(await socket.next()).toMatchObject({ id: 'q', type: 'next', payload: { data: { add: 5 } } });
    await quiet();
    expect(socket.messages.filter((message) => message['type'] === 'complete')).toHaveLength(2);
  });
  it('answers a ping at once with its payload, before the init too, and omits what is absent', async () => {
    const socket = await open({ key: null });
    socket.send({ type: 'ping' });
    socket.send({ type: 'ping', payload: { a: [1] } });
    socket.send({ type: 'pong' });
    expect([await socket.next(), await socket.next()]).toEqual([{ type: 'pong' }, { type: 'pong', payload: { a: [1] } }]);
  });
  it('lets in who said all in time while the gateway stood still', async () => {
    await again({ initTimeoutMs: 2000 });
    const socket = await open({ key: null });
    socket.send({ type: 'connection_init', payload: { authorization: 'good' } });
    const until = performance.now() + 2500;
    while (performance.now() < until);
    expect(await Promise.race([socket.next(), socket.closed])).toEqual({ type: 'connection_ack' });
  });
  it('tells in a heartbeat where each operation stands', async () => {
    await again({ heartbeatMs: 150 });
    const socket = await open();
    socket.send(subscribe('__proto__', 'subscription{state{seq}}'));
    socket.send(subscribe('b', 'subscription{events{seq}}'));
    hub.state.push(1, 3);
    await expect
      .poll(() => socket.messages.filter((message) => message['type'] === 'ping').at(-1))
      .toEqual({ type: 'ping', payload: { live: JSON.parse('{"__proto__":{"epoch":"e","seq":3},"b":{"epoch":"e","seq":0}}') } });
  });
  it('ignores a complete for an unknown id, and sends nothing for a cancelled query or subscription', async () => {
    const socket = await open();
    socket.send({ type: 'complete', id: 'never' });
    socket.send(subscribe('q', '{slow}'));
    socket.send(subscribe('s', 'subscription{state{seq}}'));
    expect(await socket.next()).toMatchObject({ id: 's', type: 'next' });
    socket.send({ type: 'complete', id: 'q' });
    socket.send({ type: 'complete', id: 's' });
    await heard(socket);
    hub.releaseSlow();
    hub.state.push(1);
    await quiet();
    await heard(socket);
    expect(withoutPongs(socket)).toHaveLength(2);
    expect(socket.ws.readyState).toBe(1);
  });
  it('lets ids be used again, whatever they are called', async () => {
    const socket = await open();
    for (const id of ['__proto__', 'constructor', 'a"b\\c', '__proto__', 'é'.repeat(32)]) {
      socket.send(subscribe(id, '{hello}'));
      expect(await socket.next()).toMatchObject({ id, type: 'next' });
      expect(await socket.next()).toEqual({ id, type: 'complete' });
      socket.send(subscribe(id, 'subscription{state{seq}}'));
      expect(await socket.next()).toMatchObject({ id, type: 'next' });
      socket.send({ type: 'complete', id });
    }
  });
  it('refuses an operation above the limit per connection, not the connection', async () => {
    const socket = await open();
    for (let count = 0; count < 100; count++) socket.send(subscribe(`s${count}`, 'subscription{state{seq}}'));
    socket.send(subscribe('one more', '{hello}'));
    await expect
      .poll(() => socket.messages.find((message) => message['type'] === 'error'))
      .toMatchObject({
        id: 'one more',
        payload: [{ extensions: { code: 'TOO_MANY_OPERATIONS' } }],
      });
    expect(socket.ws.readyState).toBe(1);
  });
  it('ends a source that ends, and says so for one that cannot start', async () => {
    const socket = await open();
    socket.send(subscribe('c', 'subscription{count(to: 3)}'));
    await expect.poll(() => socket.messages.slice(1).map((message) => message['type'])).toEqual(['next', 'next', 'next', 'complete']);
    socket.send(subscribe('b', 'subscription{broken}'));
    await expect.poll(() => socket.messages.slice(5).map((message) => message['type'])).toEqual(['next', 'complete']);
    expect(socket.messages[5]).toMatchObject({ payload: { errors: [{ message: 'no source' }] } });
  });
});

describe('keys and origins', () => {
  it('closes with 4403 when a key stops being good, and a refresh by ping keeps it open', async () => {
    hub.keys.set('second', hub.keys.get('good') as never);
    const [stays, goes] = [await open(), await open()];
    stays.send({ type: 'ping', payload: { authorization: 'second' } });
    await expect.poll(() => hub.checked).toContain('second');
    await heard(stays);
    hub.keys.delete('good');
    expect((await goes.closed).code).toBe(4403);
    expect(stays.ws.readyState).toBe(1);
    stays.send({ type: 'ping', payload: { authorization: 'wrong' } });
    expect((await stays.closed).code).toBe(4403);
  });
  it('refuses a foreign Origin at the upgrade, takes its own and none', async () => {
    await expect(open({ headers: { origin: 'https://evil.example' } })).rejects.toThrow('403');
    await expect(open({ headers: { origin: 'null' } })).rejects.toThrow('403');
    const own = await open({ headers: { origin: `http://127.0.0.1:${hub.port}` } });
    expect(own.ws.readyState).toBe(1);
  });
});
