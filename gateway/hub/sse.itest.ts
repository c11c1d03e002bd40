import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { dial, startTestHub, type TestHub } from './testing.ts';

let hub: TestHub;
let aborts: AbortController[] = [];
afterEach(async () => {
  for (const abort of aborts) abort.abort();
  aborts = [];
  await hub.lifetime.end();
});

interface Stream {
  readonly status: number;
  readonly events: { readonly event: string; readonly id: string; readonly data: string }[];
  text: string;
  done: boolean;
  close(): void;
}
async function listen(query: string, options: { readonly get?: boolean; readonly headers?: Record<string, string> } = {}): Promise<Stream> {
  const abort = new AbortController();
  aborts.push(abort);
  const headers = { authorization: 'good', accept: 'text/event-stream', ...options.headers };
  const url = `http://127.0.0.1:${hub.port}/graphql`;
  const response = options.get
    ? await fetch(`${url}?${new URLSearchParams({ query })}`, { headers, signal: abort.signal })
    : await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }), signal: abort.signal });
  const stream: Stream = { status: response.status, events: [], text: '', done: false, close: () => abort.abort() };
  const field = (block: string, name: string): string => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1] ?? '';
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      stream.text += decoder.decode(chunk as Uint8Array, { stream: true });
      for (let end = stream.text.indexOf('\n\n'); end >= 0; end = stream.text.indexOf('\n\n')) {
        const block = stream.text.slice(0, end);
        stream.text = stream.text.slice(end + 2);
        if (!block.startsWith(':'))
          stream.events.push({ event: field(block, 'event'), id: field(block, 'id'), data: field(block, 'data') });
      }
    }
    stream.done = true;
  })().catch(() => {
    stream.done = true;
  });
  return stream;
}
const QUERY = 'subscription { state { from seq value } }';
const seqs = (stream: Stream): number[] =>
  stream.events
    .filter(({ event }) => event === 'next')
    .map(({ data }) => (JSON.parse(data) as { data: { state: { seq: number } } }).data.state.seq);

describe('event streams', () => {
  it('share executions with WebSocket operations, by POST and by GET', async () => {
    hub = await startTestHub({ tickMs: 5 });
    const streams = [await listen(QUERY), await listen(QUERY, { get: true })];
    const socket = await dial(hub.port);
    socket.send({ id: '1', type: 'subscribe', payload: { query: QUERY } });
    // a heartbeat may come between
    const told = (): number => socket.messages.filter((message) => message['type'] === 'next').length;
    await expect.poll(() => [...streams.map((stream) => seqs(stream).length), told()]).toEqual([1, 1, 1]);
    const before = hub.executions();
    hub.state.push(7);
    await expect
      .poll(() => streams.map(seqs))
      .toEqual([
        [0, 1],
        [0, 1],
      ]);
    await expect.poll(told).toBe(2);
    expect(hub.executions() - before).toBe(1);
    expect(streams[0]?.events[1]).toEqual({
      event: 'next',
      id: 'e:1',
      data: JSON.stringify({ data: { state: { from: 0, seq: 1, value: 7 } }, extensions: { live: { epoch: 'e', seq: 1 } } }),
    });
    socket.ws.terminate();
  });
  it('resume by Last-Event-ID: state in one update, events each; RESYNC_REQUIRED and the end where events are not kept', async () => {
    hub = await startTestHub({ tickMs: 5, keep: 5 });
    hub.state.push(1, 20);
    hub.events.push(1, 20);
    const from = (query: string, id: string): Promise<Stream> => listen(query, { headers: { 'last-event-id': id } });
    const state = await from(QUERY, 'e:17');
    await expect.poll(() => state.events.length).toBe(1);
    expect(JSON.parse(state.events[0]?.data ?? '')).toMatchObject({ data: { state: { from: 17, seq: 20 } } });
    const events = await from('subscription { events { seq } }', 'e:18');
    await expect.poll(() => events.events.map(({ id }) => id)).toEqual(['e:19', 'e:20']);
    const lost = await from('subscription { events { seq } }', 'e:2');
    await expect.poll(() => lost.done).toBe(true);
    expect(lost.events.map(({ event }) => event)).toEqual(['next', 'complete']);
    expect(JSON.parse(lost.events[0]?.data ?? '')).toMatchObject({
      errors: [{ extensions: { code: 'RESYNC_REQUIRED', live: { seq: 2 } } }],
    });
  });
  it('leave what is no live subscription to the general way', async () => {
    hub = await startTestHub();
    for (const query of ['{hello}', 'subscription {', 'subscription { nothing }', 'subscription { count(to: 1) }']) {
      expect((await listen(query)).status).toBe(400);
    }
    const plain = await listen(QUERY, { headers: { accept: 'application/json' } });
    expect(plain.status).toBe(400);
  });
  it('send comments while nothing happens, and end when the key is refused', async () => {
    hub = await startTestHub({ heartbeatMs: 75, recheckMs: 50 });
    const url = `http://127.0.0.1:${hub.port}/graphql?${new URLSearchParams({ query: 'subscription { events { seq } }' })}`;
    const response = await fetch(url, { headers: { authorization: 'good', accept: 'text/event-stream' } });
    let text = '';
    let done = false;
    void (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk as Uint8Array).toString();
      done = true;
    })();
    await expect.poll(() => text.split(':\n\n').length).toBeGreaterThan(3);
    hub.keys.clear();
    await expect.poll(() => done).toBe(true);
  });
  /** a reader that stops reading after the first update, and one that has each of 400 before the next one comes */
  const stalled = async (stallMs: number): Promise<{ readonly slow: Socket; readonly text: () => string; readonly cut: () => boolean }> => {
    hub = await startTestHub({ tickMs: 1, pad: 60_000, stallMs, heartbeatMs: 1_500 });
    const quick = await listen('subscription { state { seq pad } }');
    const slow = connect(hub.port, '127.0.0.1');
    let cut = false;
    let text = '';
    slow.on('close', () => {
      cut = true;
    });
    slow.on('error', () => {});
    slow.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    slow.write(
      `GET /graphql?query=${encodeURIComponent('subscription { state { seq pad } }')} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\naccept: text/event-stream\r\n\r\n`,
    );
    await expect.poll(() => text.includes('"seq":0,') && quick.events.length > 0).toBe(true);
    slow.pause();
    for (let value = 1; value <= 400; value++) {
      hub.state.push(value);
      for (const end = systemClock.monotonic() + 60_000; quick.events.at(-1)?.id !== `e:${value}`; ) {
        if (systemClock.monotonic() > end) throw new Error(`${value} does not come`);
        await systemClock.sleep(1);
      }
    }
    return { slow, text: () => text, cut: () => cut };
  };
  it('merge state for a reader that takes nothing, while others get every update', { timeout: 240_000 }, async () => {
    const { slow, text } = await stalled(600_000);
    slow.resume();
    await expect.poll(() => text().includes('"seq":400,')).toBe(true);
    expect(text().split('event: next').length).toBeLessThan(350);
    slow.destroy();
  });
  it('cut off a reader that takes nothing; others go on', { timeout: 240_000 }, async () => {
    const { slow, cut } = await stalled(5_000);
    await expect.poll(() => hub.operations(), { timeout: 60_000 }).toBe(1);
    slow.resume();
    await expect.poll(cut).toBe(true);
  });
});
