import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { createLifetime, type Lifetime, seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import { createServer, type Socket } from './index.ts';
import { createFrameSplitter, rawUpgrade } from './testing.ts';

/**
 * Byte integrity under backpressure. Story: an older mirror of uWebSockets damaged 33-39 frames of 30 KB on slow sockets
 * (https://github.com/uNetworking/uWebSockets commits 143db30 and 6b7f354 mend lost bytes). A new binary must pass here.
 */
const READERS = 100;
const STALLED = 20;
const STALL_MS = 4_000;
const telemetry = createTelemetry({ service: 'test', instance: 'integrity', level: 'error', samplePercent: 0, otlpEndpoint: undefined });

/** reader and frame number, then a body that only these two determine, then its hash: lost, swapped or changed bytes show. */
function makeFrame(reader: number, number: number, size: number): Buffer {
  const frame = Buffer.alloc(size, (reader * 31 + number * 7) & 0xff);
  frame.writeUInt32BE(reader, 0);
  frame.writeUInt32BE(number, 4);
  for (let at = 8; at < size - 20; at += 97) frame[at] = (reader + number + at) & 0xff;
  createHash('sha1')
    .update(frame.subarray(0, size - 20))
    .digest()
    .copy(frame, size - 20);
  return frame;
}

interface Tally {
  good: number;
  damaged: number;
  lastNumber: number;
  readonly seen: Set<number>;
}

function checkFrame(tally: Tally, reader: number, payload: Buffer): void {
  const body = payload.subarray(0, payload.length - 20);
  const whole = createHash('sha1')
    .update(body)
    .digest()
    .equals(payload.subarray(payload.length - 20));
  const number = payload.length >= 28 ? payload.readUInt32BE(4) : -1;
  if (!whole || payload.readUInt32BE(0) !== reader || number <= tally.lastNumber) {
    tally.damaged += 1;
    return;
  }
  tally.lastNumber = number;
  tally.seen.add(number);
  tally.good += 1;
}

/** What a reader does to the bytes before it checks them; the plants damage some. */
type Tamper = (reader: number, chunk: Buffer) => Buffer;

async function run(
  frameBytes: number,
  frames: number,
  stallMs: number,
  tamper: Tamper = (_reader, chunk) => chunk,
): Promise<Record<string, number>> {
  const lifetime: Lifetime = createLifetime();
  lifetimes.push(lifetime);
  const server = createServer({ clock: systemClock, dice: seededDice(1), telemetry });
  lifetime.add('server', () => server.drain({ windowMs: 0, deadlineMs: 200 }));
  const sockets: Socket[] = [];
  server.websocket('/bytes', {
    kind: 'link',
    maxPayloadBytes: 1024,
    // a slow machine takes long to send it all: until then they stall, and answer no ping
    stallMs: 600_000,
    idleTimeoutS: 900,
    upgrade: () => ({ accept: true, state: undefined }),
    open: (socket) => void sockets.push(socket),
    message() {},
    close() {},
  });
  const { port } = await server.listen('127.0.0.1', 0);
  const tallies: Tally[] = [];
  const stalled: { resume(): void }[] = [];
  for (let reader = 0; reader < READERS; reader++) {
    const tally: Tally = { good: 0, damaged: 0, lastNumber: -1, seen: new Set() };
    tallies.push(tally);
    const { tcp, rest } = await rawUpgrade(port, '/bytes');
    lifetime.add('reader', () => void tcp.destroy());
    const split = createFrameSplitter((frame) => {
      if (frame.opcode === 2) checkFrame(tally, reader, frame.payload);
    });
    let broken = false;
    const take = (chunk: Buffer): void => {
      if (broken) return;
      try {
        split(tamper(reader, chunk));
      } catch {
        broken = true;
        tally.damaged += 1;
      }
    };
    take(rest);
    tcp.on('data', take);
    if (reader < STALLED && stallMs > 0) {
      tcp.pause();
      stalled.push(tcp);
    }
  }
  await expect.poll(() => sockets.length).toBe(READERS);
  const outcomes = { sent: 0, buffered: 0, dropped: 0, closed: 0 };
  const began = systemClock.monotonic();
  for (let number = 0; number < frames; number++) {
    for (const [reader, socket] of sockets.entries()) outcomes[socket.send(makeFrame(reader, number, frameBytes), true)] += 1;
    await systemClock.sleep(4);
  }
  // they stall for the time asked, and on a slow machine until everything was sent: else there is no backpressure to test
  await systemClock.sleep(Math.max(0, stallMs - (systemClock.monotonic() - began)));
  for (const tcp of stalled) tcp.resume();
  const expected = READERS * frames - outcomes.dropped;
  const got = (): number => tallies.reduce((sum, tally) => sum + tally.good + tally.damaged, 0);
  let before = -1;
  for (let still = 0; still < 15 && got() < expected; still++) {
    if (got() !== before) still = 0;
    before = got();
    await systemClock.sleep(stallMs > 0 ? 400 : 50);
  }
  return {
    ...outcomes,
    good: tallies.reduce((sum, tally) => sum + tally.good, 0),
    damaged: tallies.reduce((sum, tally) => sum + tally.damaged, 0),
  };
}

const lifetimes: Lifetime[] = [];
afterEach(async () => {
  for (const lifetime of lifetimes.splice(0)) await lifetime.end();
});

describe('bytes under backpressure', () => {
  for (const [frameBytes, frames] of [
    [30 * 1024, 300],
    [9 * 1024, 900],
  ] as const) {
    it(`${READERS} readers, ${STALLED} stalled ${STALL_MS} ms, frames of ${frameBytes} bytes: none damaged, none lost unsaid`, {
      timeout: 240_000,
    }, async () => {
      const result = await run(frameBytes, frames, STALL_MS);
      expect(result['damaged']).toBe(0);
      expect(result['good']).toBe(READERS * frames - (result['dropped'] ?? 0));
      // without backpressure this test would show nothing
      expect((result['buffered'] ?? 0) + (result['dropped'] ?? 0)).toBeGreaterThan(20);
    });
  }
  it('finds one flipped byte and one lost byte on the wire', { timeout: 90_000 }, async () => {
    let bytes = 0;
    const flipped = await run(9 * 1024, 20, 0, (reader, chunk) => {
      if (reader !== 50 || chunk.length < 100) return chunk;
      bytes += 1;
      if (bytes === 3) chunk[chunk.length >> 1] = (chunk[chunk.length >> 1] ?? 0) ^ 1;
      return chunk;
    });
    expect(flipped['damaged']).toBe(1);
    let cut = 0;
    const lost = await run(9 * 1024, 20, 0, (reader, chunk) => {
      if (reader !== 50 || chunk.length < 100) return chunk;
      cut += 1;
      return cut === 3 ? Buffer.concat([chunk.subarray(0, 50), chunk.subarray(51)]) : chunk;
    });
    expect(lost['damaged']).toBeGreaterThan(0);
  });
});
