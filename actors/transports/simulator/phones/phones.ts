import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type Dice, seededDice } from '../../../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../../../ops/telemetry/index.ts';
import { type Arrival, createLineSplitter, type FaultAsk, type FromPhones, type PhonesFigures, type ToPhones } from '../wire.ts';
import { createArrivals } from './arrivals.ts';
import { createFaults } from './faults.ts';
import { createSeen } from './seen.ts';
import { createWheel } from './wheel.ts';

/**
 * The simulated phones: the other end of the simulator transport and the oracle of the tests. Owns what each phone has seen, the
 * file of arrivals and the receipts under way. Knows nothing of leases or the ledger: it believes whoever opened a device.
 *
 * I1  An arrival is in the file before its acknowledgement leaves (arrivals I1).
 * I2  A send is taken from any connection that ever opened the device, a replaced one too: a stale owner must be seen, not hidden.
 * I3  A repeated wire id is recorded as a repeat and acknowledged again, as WhatsApp clients do.
 * I4  Acknowledgements go to the connection that sent; receipts and inbound messages to the newest connection of the device.
 * I5  An inbound message is repeated until the node says that it is stored.
 */
export interface PhonesOptions {
  readonly host?: string;
  /** 0 = any free port */
  readonly port: number;
  readonly seed: number;
  /** where arrivals are appended; absent: nowhere */
  readonly arrivals?: string;
  /** time to connect, to acknowledge and (times ten) to be read, drawn evenly */
  readonly latencyMs: readonly [number, number];
  readonly receipts: boolean;
  /** share of messages (0 to 100) that the contact answers */
  readonly repliesPercent: number;
  /** an inbound message not yet stored is said again after this long */
  readonly inboundRepeatMs?: number;
}

export interface Phones {
  readonly port: number;
  figures(): PhonesFigures;
  close(): Promise<void>;
}

interface Link {
  readonly socket: Socket;
  /** devices this connection ever opened; `down`: dropped and not opened again */
  readonly opened: Map<string, { epoch: number; node: string; down: boolean }>;
  out: string;
}
interface Phone {
  readonly dice: Dice;
  newest: Link | undefined;
  epoch: number;
  /** frames that wait for a connection, newest 1,000 */
  held: FromPhones[];
  replies: number;
}
type Send = Extract<ToPhones, { k: 'send' }>;

const HELD_LIMIT = 1000;
/** A node that does not read for this long is cut off: bytes waiting for it. */
const UNREAD_LIMIT = 64 * 1024 * 1024;
const INBOUND_LIMIT = 100_000;

function deviceSeed(seed: number, device: string): number {
  let hash = seed ^ 0x811c9dc5;
  for (let i = 0; i < device.length; i++) hash = Math.imul(hash ^ device.charCodeAt(i), 0x01000193);
  return hash;
}

/** Starts the phones; resolves when the port is open. */
export async function createPhones(
  deps: { readonly clock: Clock; readonly telemetry: Telemetry },
  options: PhonesOptions,
): Promise<Phones> {
  const { clock, telemetry } = deps;
  const arrivals = createArrivals(options.arrivals);
  const seen = createSeen();
  const faults = createFaults(seededDice(options.seed));
  const phones = new Map<string, Phone>();
  const links = new Set<Link>();
  const inbound = new Map<string, Extract<FromPhones, { k: 'in' }>>();
  const counted = { arrivals: 0, repeats: 0, rejected: 0 };
  let flushing = false;

  const flush = (): void => {
    flushing = false;
    arrivals.flush();
    for (const link of links) {
      if (link.out.length === 0) continue;
      const text = link.out;
      link.out = '';
      link.socket.write(text);
      if (link.socket.writableLength > UNREAD_LIMIT) link.socket.destroy();
    }
  };
  const flushSoon = (): void => {
    if (flushing) return;
    flushing = true;
    process.nextTick(flush);
  };
  const wheel = createWheel(clock, { stepMs: 2, afterStep: flush });
  const say = (link: Link, frame: FromPhones): void => {
    if (link.socket.destroyed) return;
    link.out += `${JSON.stringify(frame)}\n`;
    flushSoon();
  };
  const phoneOf = (device: string): Phone => {
    let phone = phones.get(device);
    if (phone === undefined) {
      phone = { dice: seededDice(deviceSeed(options.seed, device)), newest: undefined, epoch: 0, held: [], replies: 0 };
      phones.set(device, phone);
    }
    return phone;
  };
  const latency = (phone: Phone, times = 1): number => {
    const [low, high] = options.latencyMs;
    return times * (low + phone.dice.next() * (high - low));
  };
  const sayToDevice = (phone: Phone, frame: FromPhones): void => {
    if (phone.newest !== undefined) {
      say(phone.newest, frame);
      return;
    }
    phone.held.push(frame);
    if (phone.held.length > HELD_LIMIT) phone.held.shift();
  };
  const repeatInbound = (key: string): void => {
    wheel.later(options.inboundRepeatMs ?? 5000, () => {
      const frame = inbound.get(key);
      if (frame === undefined) return;
      const phone = phoneOf(frame.d);
      if (phone.newest !== undefined) say(phone.newest, frame);
      repeatInbound(key);
    });
  };
  const sayInbound = (device: string, from: string, body: string): void => {
    if (inbound.size >= INBOUND_LIMIT) return;
    const phone = phoneOf(device);
    phone.replies += 1;
    const frame = {
      k: 'in',
      d: device,
      i: `in-${options.seed}-${clock.wall()}-${phone.replies}`,
      from,
      b: body,
      at: clock.wall(),
    } as const;
    inbound.set(`${device}/${frame.i}`, frame);
    if (phone.newest !== undefined) say(phone.newest, frame);
    repeatInbound(`${device}/${frame.i}`);
  };
  const receiptsLater = (phone: Phone, frame: Send): void => {
    const replies = options.repliesPercent > 0 && phone.dice.next() * 100 < options.repliesPercent;
    if (replies) wheel.later(latency(phone, 12), () => sayInbound(frame.d, frame.to, 'Simulated reply'));
    if (!options.receipts) return;
    const delivered = latency(phone, 3) + 1;
    const read = delivered + latency(phone, 7) + 1;
    const receipt = (s: 'DELIVERED' | 'READ'): void => sayToDevice(phone, { k: 'receipt', d: frame.d, i: frame.i, s, at: clock.wall() });
    wheel.later(delivered, () => receipt('DELIVERED'));
    wheel.later(read, () => receipt('READ'));
  };
  const drop = (link: Link, device: string, epoch: number): void => {
    const record = link.opened.get(device);
    if (record !== undefined) record.down = true;
    const phone = phoneOf(device);
    if (phone.newest === link) phone.newest = undefined;
    say(link, { k: 'down', d: device, e: epoch, r: 'DROPPED' });
  };

  const onOpen = (link: Link, device: string, epoch: number, node: string): void => {
    const phone = phoneOf(device);
    const record = { epoch, node, down: false };
    link.opened.set(device, record);
    if (faults.onOpen(device)) return;
    wheel.later(latency(phone), () => {
      if (link.opened.get(device) !== record || record.down || link.socket.destroyed) return;
      phone.newest = link;
      phone.epoch = epoch;
      say(link, { k: 'up', d: device, e: epoch });
      for (const frame of phone.held.splice(0)) say(link, frame);
      for (const frame of inbound.values()) if (frame.d === device) say(link, frame);
    });
  };
  const onSend = (link: Link, frame: Send): void => {
    const record = link.opened.get(frame.d);
    const answer = { d: frame.d, e: frame.e, i: frame.i, a: frame.a };
    if (record === undefined) {
      say(link, { k: 'nack', ...answer, retry: true, code: 'NOT_OPEN' });
      return;
    }
    if (record.down) return;
    const phone = phoneOf(frame.d);
    const fault = faults.onSend(frame.d);
    if (fault?.kind === 'reject') {
      counted.rejected += 1;
      const refusal = { k: 'nack', ...answer, retry: fault.retry ?? false, code: fault.code ?? 'SIMULATED_REJECT' } as const;
      wheel.later(latency(phone), () => say(link, fault.retryAfterMs === undefined ? refusal : { ...refusal, after: fault.retryAfterMs }));
      return;
    }
    record.epoch = frame.e;
    const repeat = !seen.add(frame.d, frame.w);
    counted.arrivals += 1;
    if (repeat) counted.repeats += 1;
    const arrival: Arrival = {
      device: frame.d,
      id: frame.i,
      wire: frame.w,
      epoch: frame.e,
      node: record.node,
      attempt: frame.a,
      repeat,
      at: clock.wall(),
      to: frame.to,
    };
    arrivals.add(arrival);
    flushSoon();
    answerTo(link, phone, frame, fault);
  };
  const answerTo = (link: Link, phone: Phone, frame: Send, fault: FaultAsk | undefined): void => {
    if (fault?.kind === 'drop') {
      arrivals.flush();
      if (fault.device === undefined || fault.device === null) link.socket.destroy();
      else drop(link, frame.d, frame.e);
    } else if (fault?.kind !== 'lost-ack') {
      const slow = fault?.kind === 'slow' ? (fault.ms ?? 0) : 0;
      wheel.later(latency(phone) + slow, () => say(link, { k: 'ack', d: frame.d, e: frame.e, i: frame.i, a: frame.a, at: clock.wall() }));
    }
    receiptsLater(phone, frame);
  };

  const figures = (): PhonesFigures => ({
    devices: phones.size,
    connections: links.size,
    ...counted,
    inboundOpen: inbound.size,
  });
  const dropNow = (device: string | null): void => {
    for (const link of links) {
      if (device === null) {
        if (link.opened.size > 0) link.socket.destroy();
      } else if (link.opened.has(device)) {
        drop(link, device, link.opened.get(device)?.epoch ?? 0);
      }
    }
  };
  const control = (link: Link, frame: ToPhones): void => {
    if (frame.k === 'fault') faults.ask(frame.fault);
    else if (frame.k === 'clear') faults.clear();
    else if (frame.k === 'drop-now') dropNow(frame.d);
    else if (frame.k === 'say') sayInbound(frame.d, frame.from, frame.b);
    arrivals.flush();
    say(link, { k: 'done', figures: figures() });
  };
  const onFrame = (link: Link, frame: ToPhones): void => {
    switch (frame.k) {
      case 'send':
        onSend(link, frame);
        break;
      case 'open':
        onOpen(link, frame.d, frame.e, frame.n);
        break;
      case 'close': {
        const phone = phoneOf(frame.d);
        if (phone.newest === link && phone.epoch === frame.e) phone.newest = undefined;
        break;
      }
      case 'ok':
        inbound.delete(`${frame.d}/${frame.i}`);
        break;
      default:
        control(link, frame);
    }
  };
  const onConnection = (socket: Socket): void => {
    const link: Link = { socket, opened: new Map(), out: '' };
    links.add(link);
    socket.setNoDelay(true);
    socket.setEncoding('utf8');
    const broken = (): void => {
      telemetry.log.warn('phones.bad-frame');
      socket.destroy();
    };
    const split = createLineSplitter((line) => {
      let frame: ToPhones;
      try {
        frame = JSON.parse(line) as ToPhones;
      } catch {
        broken();
        return;
      }
      onFrame(link, frame);
    }, broken);
    socket.on('data', (chunk) => split(String(chunk)));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      links.delete(link);
      for (const device of link.opened.keys()) {
        const phone = phoneOf(device);
        if (phone.newest === link) phone.newest = undefined;
      }
    });
  };

  const server: Server = createServer(onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host ?? '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    figures,
    async close() {
      wheel.stop();
      for (const link of links) link.socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      arrivals.close();
    },
  };
}
