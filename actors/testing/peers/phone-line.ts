import { connect } from 'node:net';
import type { Clock } from '../../../ops/lifecycle/index.ts';
import { addressOf, createLineSplitter, type FromPhones, type ToPhones } from '../../transports/simulator/index.ts';

/** A worker's way to the simulated phones: as our own transport speaks to them, without its leases and epochs, which the peers do not have. */
export interface PhoneLine {
  /** resolves when the phone has acknowledged. @throws Error when it refused or did not answer in time */
  send(message: {
    readonly device: string;
    readonly id: string;
    readonly attempt: number;
    readonly to: string;
    readonly body?: string;
  }): Promise<void>;
  close(): void;
}

const TIMEOUT_MS = 10_000;

export async function dialPhones(clock: Clock, url: string, worker: string): Promise<PhoneLine> {
  const socket = connect(addressOf(url));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.setNoDelay(true);
  socket.setEncoding('utf8');
  const opened = new Set<string>();
  const waiting = new Map<string, (outcome: Error | undefined) => void>();
  let lines = '';
  // one write for all frames of a tick, as our own transport does it
  const write = (frame: ToPhones): void => {
    if (lines === '') {
      process.nextTick(() => {
        socket.write(lines);
        lines = '';
      });
    }
    lines += `${JSON.stringify(frame)}\n`;
  };
  const settle = (key: string, outcome: Error | undefined): void => {
    waiting.get(key)?.(outcome);
    waiting.delete(key);
  };
  const split = createLineSplitter(
    (line) => {
      const frame = JSON.parse(line) as FromPhones;
      if (frame.k === 'ack') settle(frame.i, undefined);
      else if (frame.k === 'nack') settle(frame.i, new Error(frame.code));
    },
    () => socket.destroy(),
  );
  socket.on('data', (chunk) => split(String(chunk)));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    for (const key of [...waiting.keys()]) settle(key, new Error('the phones are gone'));
  });
  return {
    send({ device, id, attempt, to, body = 'simulated message' }) {
      if (!opened.has(device)) {
        opened.add(device);
        write({ k: 'open', d: device, e: 1, n: worker });
      }
      return new Promise((resolve, reject) => {
        const cancel = clock.after(TIMEOUT_MS, () => settle(id, new Error('no acknowledgement')));
        waiting.set(id, (error) => {
          cancel();
          if (error === undefined) resolve();
          else reject(error);
        });
        write({ k: 'send', d: device, e: 1, i: id, w: id, a: attempt, to, b: body });
      });
    },
    close: () => socket.destroy(),
  };
}
