import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { dial, startTestHub, type TestHub, type TestSocket } from './testing.ts';

let hub: TestHub;
let sockets: TestSocket[] = [];
afterEach(async () => {
  for (const { ws } of sockets) ws.terminate();
  sockets = [];
  await hub.lifetime.end();
});
const open = async (): Promise<TestSocket> => {
  const socket = await dial(hub.port);
  sockets.push(socket);
  return socket;
};
const sub = (id: string, query: string, variables?: unknown): unknown => ({ id, type: 'subscribe', payload: { query, variables } });
// biome-ignore lint/suspicious/noExplicitAny: payloads of the test's own schema
const datas = (socket: TestSocket, field: string): any[] =>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  socket.messages.filter((message) => message['type'] === 'next').map((message) => (message['payload'] as any).data[field]);

describe('sharing', () => {
  it('executes once for 50 sockets with ids and cursors of their own', async () => {
    hub = await startTestHub({ tickMs: 20 });
    hub.state.push(1, 10);
    const query = 'subscription($since: LivePosition) { state(since: $since) { epoch from seq value } }';
    for (let count = 0; count < 50; count++) {
      const socket = await open();
      socket.send(sub(`id-${count}-${'x'.repeat(count)}`, query, count % 2 === 0 ? undefined : { since: { epoch: 'e', seq: 7 } }));
    }
    await expect.poll(() => sockets.every((socket) => datas(socket, 'state').length === 1)).toBe(true);
    const before = hub.executions();
    hub.state.push(77);
    await expect.poll(() => sockets.every((socket) => datas(socket, 'state').length === 2)).toBe(true);
    expect(hub.executions() - before).toBe(1);
    for (const [index, socket] of sockets.entries()) {
      // a heartbeat may have come since
      expect(socket.messages.filter((message) => message['type'] === 'next').at(-1)).toEqual({
        id: `id-${index}-${'x'.repeat(index)}`,
        type: 'next',
        payload: { data: { state: { epoch: 'e', from: 10, seq: 11, value: 77 } }, extensions: { live: { epoch: 'e', seq: 11 } } },
      });
      expect(datas(socket, 'state')[0].from).toBe(index % 2 === 0 ? 10 : 7);
    }
  });
  it('serves a late joiner from the cache: the last snapshot and what has changed since', async () => {
    hub = await startTestHub({ tickMs: 5 });
    const query = 'subscription { state { from seq value } }';
    const first = await open();
    first.send(sub('1', query));
    await expect.poll(() => datas(first, 'state').length).toBe(1);
    hub.state.push(5);
    await expect.poll(() => datas(first, 'state').length).toBe(2);
    const before = hub.executions();
    const late = await open();
    late.send(sub('late', query));
    await expect
      .poll(() => datas(late, 'state'))
      .toEqual([
        { from: 0, seq: 0, value: 0 },
        { from: 0, seq: 1, value: 5 },
      ]);
    const again = await open();
    again.send(sub('again', query));
    await expect.poll(() => datas(again, 'state').length).toBe(2);
    // the change since the snapshot, once for each of them; the snapshot itself for none
    expect(hub.executions() - before).toBe(2);
  });
  it('does not share what differs: another variable, another right', async () => {
    hub = await startTestHub({ tickMs: 20 });
    const one = await open();
    const two = await open();
    const three = await open();
    hub.keys.set('screen', { ...(hub.keys.get('good') as never as object), scopes: new Set(['screen']) } as never);
    three.send({ type: 'ping', payload: { authorization: 'screen' } });
    await expect.poll(() => hub.checked).toContain('screen');
    const query = 'subscription($n: Int) { state(n: $n) { seq } }';
    one.send(sub('1', query, { n: 1 }));
    two.send(sub('1', query, { n: 2 }));
    three.send(sub('1', query, { n: 1 }));
    await expect.poll(() => hub.executions()).toBe(3);
    hub.state.push(1);
    await expect.poll(() => hub.executions()).toBe(6);
  });
  it('gathers changes of one tick into one frame', { timeout: 60_000 }, async () => {
    hub = await startTestHub({ tickMs: 1_000 });
    const socket = await open();
    socket.send(sub('1', 'subscription { state { from seq } }'));
    await expect.poll(() => datas(socket, 'state').length).toBe(1);
    const began = systemClock.monotonic();
    for (let value = 0; value < 100; value++) {
      hub.state.push(value);
      await systemClock.sleep(0);
    }
    const seconds = (systemClock.monotonic() - began) / 1000;
    await expect.poll(() => datas(socket, 'state').at(-1)?.seq).toBe(100);
    const ticks = datas(socket, 'state');
    for (let index = 1; index < ticks.length; index++) expect(ticks[index].from).toBe(ticks[index - 1].seq);
    // however slow the machine: the first one, and one for each tick
    expect(ticks.length).toBeLessThanOrEqual(3 + Math.ceil(seconds));
  });
  it('gives no operation the rights its connection had before', async () => {
    hub = await startTestHub({ tickMs: 5 });
    hub.keys.set('screen', { ...(hub.keys.get('good') as never as object), scopes: new Set(['screen']) } as never);
    const socket = await open();
    const other = await dial(hub.port, { key: 'screen' });
    sockets.push(other);
    // both in one write: the operation is prepared under the first key while the second is checked
    socket.send({ type: 'ping', payload: { authorization: 'screen' } });
    socket.send(sub('1', 'subscription { state { seq } }'));
    other.send(sub('1', 'subscription { state { seq } }'));
    await expect.poll(() => datas(socket, 'state').length).toBeGreaterThan(0);
    await expect.poll(() => datas(other, 'state').length).toBe(1);
    await expect.poll(() => hub.checked.filter((key) => key === 'screen').length).toBeGreaterThan(1);
    // one group: the same rights (the operation may still be on its way into it)
    let seq = 0;
    const costs = async (): Promise<number> => {
      const before = hub.executions();
      hub.state.push(++seq);
      await expect.poll(() => [datas(socket, 'state').at(-1).seq, datas(other, 'state').at(-1).seq]).toEqual([seq, seq]);
      return hub.executions() - before;
    };
    await expect.poll(costs).toBe(1);
  });
  it('restarts an operation under a key with other rights', async () => {
    hub = await startTestHub();
    const socket = await open();
    socket.send(sub('1', 'subscription { state { seq } }'));
    await expect.poll(() => datas(socket, 'state').length).toBe(1);
    hub.keys.set('screen', { ...(hub.keys.get('good') as never as object), scopes: new Set(['screen']) } as never);
    socket.send({ type: 'ping', payload: { authorization: 'screen' } });
    await expect.poll(() => datas(socket, 'state').length).toBe(2);
    hub.state.push(1);
    await expect.poll(() => datas(socket, 'state').map((tick) => tick.seq)).toEqual([0, 0, 1]);
  });
});

/** a machine that is busy takes longer to fill a socket than a stalled reader is given */
const PATIENT = 600_000;

describe('resuming and slow readers', () => {
  it('gives what was missed, a snapshot where that is not kept, and RESYNC_REQUIRED for events', async () => {
    hub = await startTestHub({ keep: 5 });
    hub.state.push(1, 20);
    hub.events.push(1, 20);
    const socket = await open();
    const query = (field: string): string => `subscription($since: LivePosition) { ${field}(since: $since) { from seq value } }`;
    const first = async (field: string, since: unknown): Promise<unknown> => {
      const id = `${field}${JSON.stringify(since)}`;
      socket.send(sub(id, query(field), { since }));
      await expect.poll(() => socket.messages.some((message) => message['id'] === id)).toBe(true);
      return socket.messages.find((message) => message['id'] === id);
    };
    expect(await first('state', { epoch: 'e', seq: 16 })).toMatchObject({ payload: { data: { state: { from: 16, seq: 20 } } } });
    expect(await first('state', { epoch: 'e', seq: 3 })).toMatchObject({ payload: { data: { state: { from: 20, seq: 20 } } } });
    expect(await first('state', { epoch: 'other', seq: 18 })).toMatchObject({ payload: { data: { state: { from: 20 } } } });
    expect(await first('state', { epoch: 'e', seq: 99 })).toMatchObject({ payload: { data: { state: { from: 20 } } } });
    expect(await first('events', { epoch: 'e', seq: 18 })).toMatchObject({ payload: { data: { events: { seq: 19 } } } });
    const lost = await first('events', { epoch: 'e', seq: 3 });
    expect(lost).toMatchObject({ type: 'error', payload: [{ extensions: { code: 'RESYNC_REQUIRED', live: { epoch: 'e', seq: 3 } } }] });
  });
  const stalled = async (field: 'state' | 'events' | 'telemetry'): Promise<{ readonly slow: TestSocket; readonly quick: TestSocket }> => {
    const slow = await open();
    const quick = await open();
    for (const socket of [slow, quick]) socket.send(sub('1', `subscription { ${field} { from seq value pad } }`));
    // nothing says that a subscription has begun: its first update does
    const begun = (): boolean => {
      if (field !== 'state') hub[field].push(0);
      return [slow, quick].every((socket) => datas(socket, field).length > 0);
    };
    await expect.poll(begun).toBe(true);
    const { seq } = hub[field].top();
    await expect.poll(() => [slow, quick].map((socket) => datas(socket, field).at(-1)?.seq)).toEqual([seq, seq]);
    slow.ws.pause();
    // the quick one has each before the next one comes
    for (let value = 1; value <= 400; value++) {
      hub[field].push(value);
      for (const end = systemClock.monotonic() + 60_000; datas(quick, field).at(-1)?.value !== value; ) {
        if (systemClock.monotonic() > end) throw new Error(`${value} does not come`);
        await systemClock.sleep(1);
      }
    }
    return { slow, quick };
  };
  /** without the updates of the beginning */
  const valuesOf = (socket: TestSocket, field: string): number[] =>
    datas(socket, field)
      .map((tick) => tick.value as number)
      .filter((value) => value > 0);
  it('merges state for a reader that is slow, without a gap, while others get every frame', { timeout: 240_000 }, async () => {
    hub = await startTestHub({ tickMs: 1, pad: 60_000, stallMs: PATIENT });
    const { slow, quick } = await stalled('state');
    slow.ws.resume();
    await expect.poll(() => datas(slow, 'state').at(-1)?.value, { timeout: 30_000 }).toBe(400);
    for (const socket of [slow, quick]) {
      const ticks = datas(socket, 'state');
      for (let index = 1; index < ticks.length; index++) expect(ticks[index].from).toBe(ticks[index - 1].seq);
    }
    expect(datas(slow, 'state').length).toBeLessThan(datas(quick, 'state').length - 50);
  });
  it('goes on with the newest telemetry for a reader that fell out, without an error', { timeout: 240_000 }, async () => {
    hub = await startTestHub({ tickMs: 1, pad: 60_000, keep: 50, stallMs: PATIENT });
    const { slow } = await stalled('telemetry');
    slow.ws.resume();
    let next = 400;
    const goesOn = (): boolean => {
      next += 1;
      hub.telemetry.push(next);
      return datas(slow, 'telemetry').at(-1)?.value > 400;
    };
    await expect.poll(goesOn, { timeout: 30_000 }).toBe(true);
    const seen = valuesOf(slow, 'telemetry');
    expect(seen.filter((value) => value <= 400).length).toBeLessThan(400);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
    expect(slow.messages.some((message) => message['type'] === 'error')).toBe(false);
  });
  it('resumes events in the middle of a burst longer than one flush', async () => {
    hub = await startTestHub({ tickMs: 1 });
    hub.events.push(1, 900);
    const socket = await open();
    socket.send(sub('1', 'subscription($since: LivePosition) { events(since: $since) { seq } }', { since: { epoch: 'e', seq: 100 } }));
    await expect.poll(() => datas(socket, 'events').length).toBe(800);
    expect(datas(socket, 'events').map((tick) => tick.seq)).toEqual(Array.from({ length: 800 }, (_, index) => index + 101));
  });
  it('tells a reader that fell out of the events so, with its last position', { timeout: 240_000 }, async () => {
    hub = await startTestHub({ tickMs: 1, pad: 60_000, keep: 50, stallMs: PATIENT });
    const { slow, quick } = await stalled('events');
    expect(valuesOf(quick, 'events')).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
    slow.ws.resume();
    await expect.poll(() => slow.messages.at(-1)?.['type'], { timeout: 30_000 }).toBe('error');
    const seen = valuesOf(slow, 'events');
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, index) => index + 1));
    const { seq } = datas(slow, 'events').at(-1);
    expect(slow.messages.at(-1)).toMatchObject({ payload: [{ extensions: { code: 'RESYNC_REQUIRED', live: { seq } } }] });
  });
  it('closes a reader that takes nothing with 4503', { timeout: 240_000 }, async () => {
    // so long that a reader who shares a busy machine with it is not taken for one
    hub = await startTestHub({ tickMs: 1, pad: 60_000, stallMs: 5_000 });
    const { slow } = await stalled('state');
    await expect.poll(() => hub.server.sockets('graphql'), { timeout: 60_000 }).toBe(1);
    slow.ws.resume();
    expect([4503, 1006]).toContain((await slow.closed).code);
  });
});
