import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';

/**
 * Subscribers in a process of their own: raw TCP, frames are counted by their headers and not decoded, so that the loader is never what is
 * measured. One socket in `SAMPLE` looks into its frames for the time of publishing.
 */
const [port = '', sockets = '', groups = '', stalled = '0', ids = 'same', spreadMs = sockets, stalledOperations = '1'] =
  process.argv.slice(2);
const SAMPLE = 20;
const QUERY = 'subscription($group: Int!) { tick(group: $group) { at group rows { id name state } } }';

const slow = new Set<Socket>();
let frames = 0;
let live = 0;
const latencies: number[] = [];

/** A masked text frame; the mask is zero, so the payload is as it is. */
function frameOf(text: string): Buffer {
  const payload = Buffer.from(text);
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length])
      : Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

function subscriber(number: number): void {
  const group = Number(groups) === 0 ? number : number % Number(groups);
  const tcp: Socket = connect(Number(port), '127.0.0.1');
  /** may stop reading: its frames are not counted */
  const mayStall = number < Number(stalled);
  const sampled = !mayStall && number % SAMPLE === 0;
  const id = ids === 'same' ? '1' : randomUUID();
  let upgraded = false;
  let rest: Buffer = Buffer.alloc(0);
  let skip = 0;
  let acknowledged = false;
  tcp.setNoDelay(true);
  tcp.write(
    'GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
  );
  const take = (opcode: number, payload: Buffer): void => {
    if (opcode === 9) tcp.write(Buffer.concat([Buffer.from([0x8a, 0x80 | payload.length]), Buffer.alloc(4), payload]));
    if (opcode !== 1) return;
    if (!acknowledged) {
      acknowledged = true;
      const payload = { query: QUERY, variables: { group } };
      for (let n = 0; n < (mayStall ? Number(stalledOperations) : 1); n++)
        tcp.write(frameOf(JSON.stringify({ id: n === 0 ? id : `${id} ${n}`, type: 'subscribe', payload })));
      live += 1;
      if (mayStall) slow.add(tcp);
      return;
    }
    if (mayStall) return;
    frames += 1;
    if (!sampled) return;
    const at = /"at":([\d.]+)/.exec(payload.toString('latin1', 0, 300))?.[1];
    if (at !== undefined && Number(at) > 0) latencies.push(performance.timeOrigin + clock.monotonic() - Number(at));
  };
  tcp.on('data', (chunk) => {
    let data = chunk;
    if (skip > 0) {
      const gone = Math.min(skip, data.length);
      skip -= gone;
      data = data.subarray(gone);
      if (data.length === 0) return;
    }
    if (rest.length > 0) data = Buffer.concat([rest, data]);
    let at = 0;
    if (!upgraded) {
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) {
        rest = data;
        return;
      }
      upgraded = true;
      at = end + 4;
      tcp.write(frameOf('{"type":"connection_init"}'));
    }
    while (at + 2 <= data.length) {
      const short = (data[at + 1] ?? 0) & 127;
      const headLength = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (at + headLength > data.length) break;
      const length = short === 126 ? data.readUInt16BE(at + 2) : short === 127 ? Number(data.readBigUInt64BE(at + 2)) : short;
      const opcode = (data[at] ?? 0) & 15;
      const whole = at + headLength + length <= data.length;
      if (whole) take(opcode, data.subarray(at + headLength, at + headLength + length));
      else if (acknowledged && !sampled && opcode === 1) {
        // counted now, its rest is skipped without being kept
        if (!mayStall) frames += 1;
        skip = at + headLength + length - data.length;
        rest = Buffer.alloc(0);
        return;
      } else break;
      at += headLength + length;
    }
    rest = at < data.length ? Buffer.from(data.subarray(at)) : Buffer.alloc(0);
  });
  tcp.on('error', () => {});
  // on a busy machine a server may give up on the handshake
  tcp.on('close', () => {
    if (!acknowledged) clock.after(500, () => subscriber(number));
  });
}

process.on('message', ({ ask, stall }: { readonly ask?: 'count' | 'latencies'; readonly stall?: boolean }) => {
  if (stall !== undefined) for (const tcp of slow) stall ? tcp.pause() : tcp.resume();
  if (ask === 'count') process.send?.({ live, frames });
  else if (ask === 'latencies') process.send?.({ latencies: latencies.splice(0) });
});
process.on('disconnect', () => process.exit());
process.send?.({ ready: true });
// `spreadMs` 0: all at once
for (let number = 0; number < Number(sockets); number++) {
  clock.after(Math.floor((number * Number(spreadMs)) / Number(sockets)), () => subscriber(number));
}
