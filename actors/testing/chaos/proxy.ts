import { connect, createServer, type Socket } from 'node:net';
import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';

/**
 * A TCP proxy between one process and one server that disturbs what passes. Owns its port and its connections; knows nothing of protocols.
 *
 * I1  Bytes of a direction keep their order, whatever the disturbance was and is.
 * I2  Held bytes are kept and go out when the hold ends, also those of a client that has gone: a network that comes back delivers what was
 *     sent into it. So a late command reaches the server after its sender gave up.
 * I3  A lost reply is lost after the server had the command: the client sees a reset and cannot know whether it ran.
 */
export type Disturbance =
  | { readonly kind: 'none' }
  /** what stands is reset, what comes is reset */
  | { readonly kind: 'reset' }
  /** a black hole; `commands`: only towards the server, `replies`: only back */
  | { readonly kind: 'hold'; readonly way: 'both' | 'commands' | 'replies' }
  /** each chunk is late by `ms`, give or take `jitterMs` */
  | { readonly kind: 'latency'; readonly ms: number; readonly jitterMs: number }
  /** so many bytes a second each way, and no more */
  | { readonly kind: 'bandwidth'; readonly bytesPerSecond: number }
  /** this share (0 to 1) of the replies is lost together with the connection */
  | { readonly kind: 'lose-replies'; readonly rate: number };

export interface FaultProxy {
  readonly port: number;
  /** where new connections go */
  target(port: number): void;
  /** the same, unless it was told before: a process that starts again keeps what a fault has changed */
  targetOnce(port: number): void;
  disturb(disturbance: Disturbance): void;
  readonly figures: { readonly connections: number; readonly resets: number; readonly lostReplies: number };
  close(): Promise<void>;
}

type Direction = 'commands' | 'replies';
interface Way {
  readonly direction: Direction;
  readonly from: Socket;
  readonly to: Socket;
  /** null: the sender has ended */
  readonly queue: { readonly chunk: Buffer | null; readonly due: number }[];
  timer: (() => void) | undefined;
}
interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  readonly ways: readonly Way[];
}

const HOST = '127.0.0.1';

/** @param host where it listens; the server it stands before is always on this machine's loopback */
export async function createProxy(deps: { readonly clock: Clock; readonly dice: Dice }, host: string = HOST): Promise<FaultProxy> {
  const { clock, dice } = deps;
  const pairs = new Set<Pair>();
  const figures = { connections: 0, resets: 0, lostReplies: 0 };
  let targetPort = 0;
  let now: Disturbance = { kind: 'none' };

  const held = (direction: Direction): boolean => now.kind === 'hold' && (now.way === 'both' || now.way === direction);
  const lateBy = (): number => (now.kind === 'latency' ? Math.max(0, now.ms + (dice.next() * 2 - 1) * now.jitterMs) : 0);
  const reset = (pair: Pair): void => {
    figures.resets += 1;
    pairs.delete(pair);
    for (const way of pair.ways) way.timer?.();
    pair.client.resetAndDestroy();
    pair.server.resetAndDestroy();
  };
  const pump = (way: Way): void => {
    way.timer?.();
    way.timer = undefined;
    if (held(way.direction)) return;
    for (let head = way.queue[0]; head !== undefined; head = way.queue[0]) {
      const wait = head.due - clock.monotonic();
      if (wait > 0) {
        way.timer = clock.after(wait, () => pump(way));
        return;
      }
      way.queue.shift();
      if (head.chunk === null) way.to.end();
      else if (way.to.writable) way.to.write(head.chunk);
    }
  };
  const put = (way: Way, chunk: Buffer | null): void => {
    // I1: nothing overtakes what is late
    const tail = Math.max(clock.monotonic(), way.queue.at(-1)?.due ?? 0);
    const due =
      now.kind === 'bandwidth' ? tail + ((chunk?.length ?? 0) / now.bytesPerSecond) * 1000 : Math.max(clock.monotonic() + lateBy(), tail);
    way.queue.push({ chunk, due });
    pump(way);
  };
  const listen = (pair: Pair, way: Way): void => {
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      put(way, null);
      if (pair.client.destroyed && pair.server.destroyed) pairs.delete(pair);
    };
    way.from.on('data', (chunk: Buffer) => {
      if (way.direction === 'replies' && now.kind === 'lose-replies' && dice.next() < now.rate) {
        figures.lostReplies += 1;
        reset(pair);
      } else put(way, chunk);
    });
    way.from.on('end', end);
    way.from.on('close', end);
    way.from.on('error', () => way.from.destroy());
  };
  const server = createServer({ noDelay: true }, (client) => {
    client.on('error', () => client.destroy());
    if (now.kind === 'reset') {
      figures.resets += 1;
      client.resetAndDestroy();
      return;
    }
    figures.connections += 1;
    const upstream = connect({ host: HOST, port: targetPort, noDelay: true });
    const way = (direction: Direction, from: Socket, to: Socket): Way => ({ direction, from, to, queue: [], timer: undefined });
    const pair: Pair = { client, server: upstream, ways: [way('commands', client, upstream), way('replies', upstream, client)] };
    pairs.add(pair);
    for (const one of pair.ways) listen(pair, one);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    target(port) {
      targetPort = port;
    },
    targetOnce(port) {
      if (targetPort === 0) targetPort = port;
    },
    disturb(disturbance) {
      now = disturbance;
      for (const pair of [...pairs]) {
        if (now.kind === 'reset') reset(pair);
        else {
          for (const way of pair.ways) {
            // what a narrow way has piled up goes out when it is wide again
            if (now.kind === 'none') way.queue.splice(0, way.queue.length, ...way.queue.map(({ chunk }) => ({ chunk, due: 0 })));
            pump(way);
          }
        }
      }
    },
    figures,
    async close() {
      for (const pair of [...pairs]) reset(pair);
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
