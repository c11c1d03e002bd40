import { connect } from 'node:net';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';

/** What came back for some raw bytes: the status of the first answer, null = the connection was closed without one, 'silent' = neither in time. */
export type Outcome = { readonly status: number | null | 'silent'; readonly text: string };

/** Sends bytes over a connection of its own. An input that ends early is waited for `patienceMs`, then we hang up. */
export function exchange(port: number, bytes: Buffer, patienceMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    let settled = false;
    const settle = (status: Outcome['status']): void => {
      if (settled) return;
      settled = true;
      cancel();
      socket.destroy();
      resolve({ status, text: Buffer.concat(chunks).toString('utf8') });
    };
    const statusOf = (): number | null => {
      const match = /^HTTP\/1\.1 (\d{3})/.exec(Buffer.concat(chunks).subarray(0, 20).toString('latin1'));
      return match === null ? null : Number(match[1]);
    };
    const cancel = clock.after(patienceMs, () => settle(statusOf() ?? 'silent'));
    socket.on('error', () => settle(statusOf()));
    socket.on('close', () => settle(statusOf()));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      const head = all.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = /content-length: (\d+)/i.exec(all.subarray(0, head).toString('latin1'))?.[1];
      if (length === undefined ? all.subarray(0, 12).toString('latin1').endsWith('101') : all.length >= head + 4 + Number(length))
        settle(statusOf());
    });
    socket.on('connect', () => socket.write(bytes));
  });
}
