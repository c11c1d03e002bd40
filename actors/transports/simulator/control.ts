import { connect } from 'node:net';
import { addressOf, createLineSplitter, type FaultAsk, type FromPhones, type PhonesFigures, type ToPhones } from './wire.ts';

/** Asks a running phones process for faults and figures. One connection, questions answered in order. */
export interface PhonesControl {
  fault(fault: FaultAsk): Promise<PhonesFigures>;
  /** ends every fault that was asked for */
  clear(): Promise<PhonesFigures>;
  /** drops one device's connection, or with null every node's, at once */
  dropNow(device: string | null): Promise<PhonesFigures>;
  /** lets a contact write to the device */
  say(device: string, from: string, body: string): Promise<PhonesFigures>;
  figures(): Promise<PhonesFigures>;
  close(): void;
}

/** @param url `tcp://host:port` of the phones process */
export async function controlPhones(url: string): Promise<PhonesControl> {
  const waiting: { resolve(figures: PhonesFigures): void; reject(error: Error): void }[] = [];
  const socket = connect(addressOf(url));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.setEncoding('utf8');
  const split = createLineSplitter(
    (line) => {
      const frame = JSON.parse(line) as FromPhones;
      if (frame.k === 'done') waiting.shift()?.resolve(frame.figures);
    },
    () => socket.destroy(),
  );
  socket.on('data', (chunk) => split(String(chunk)));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    for (const entry of waiting.splice(0)) entry.reject(new Error('the phones closed the connection'));
  });
  const ask = (frame: ToPhones): Promise<PhonesFigures> =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) {
        reject(new Error('not connected to the phones'));
        return;
      }
      waiting.push({ resolve, reject });
      socket.write(`${JSON.stringify(frame)}\n`);
    });
  return {
    fault: (fault) => ask({ k: 'fault', fault }),
    clear: () => ask({ k: 'clear' }),
    dropNow: (d) => ask({ k: 'drop-now', d }),
    say: (d, from, b) => ask({ k: 'say', d, from, b }),
    figures: () => ask({ k: 'figures' }),
    close: () => socket.destroy(),
  };
}
