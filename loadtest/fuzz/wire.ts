import { connect, type Socket } from 'node:net';
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

/** One connection that is used again as long as the server keeps it; a request at a time. */
export interface WireConnection {
  exchange(bytes: Buffer, patienceMs: number): Promise<Outcome>;
  close(): void;
}

/** Bytes of the first whole answer in `all`, or undefined. An answer without a length ends with the connection. */
function answerBytes(all: Buffer): number | undefined {
  const head = all.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const length = /content-length: (\d+)/i.exec(all.subarray(0, head).toString('latin1'))?.[1];
  const bytes = head + 4 + Number(length ?? Number.NaN);
  return all.length >= bytes ? bytes : undefined;
}

export function createConnection(port: number): WireConnection {
  let socket: Socket | undefined;
  let heard: Buffer = Buffer.alloc(0);
  let settle: ((closed: boolean) => void) | undefined;
  const dial = (): Socket => {
    const made = connect(port, '127.0.0.1');
    made.setNoDelay(true);
    const gone = (): void => {
      if (socket !== made) return;
      socket = undefined;
      settle?.(true);
    };
    made.on('error', gone);
    made.on('close', gone);
    made.on('data', (chunk) => {
      heard = heard.length === 0 ? chunk : Buffer.concat([heard, chunk]);
      if (answerBytes(heard) !== undefined) settle?.(false);
    });
    return made;
  };
  return {
    exchange(bytes, patienceMs) {
      return new Promise((resolve) => {
        heard = Buffer.alloc(0);
        const done = (status: Outcome['status']): void => {
          settle = undefined;
          cancel();
          resolve({ status, text: heard.toString('utf8') });
        };
        const statusOf = (): number | null => {
          const match = /^HTTP\/1\.1 (\d{3})/.exec(heard.subarray(0, 20).toString('latin1'));
          return match === null ? null : Number(match[1]);
        };
        const cancel = clock.after(patienceMs, () => {
          const late = socket;
          socket = undefined;
          late?.destroy();
          done(statusOf() ?? 'silent');
        });
        const again = socket !== undefined;
        settle = (closed) => {
          // the server may hang up on a kept connection just as we speak: said once more on a new one
          if (closed && again && heard.length === 0) {
            cancel();
            settle = undefined;
            this.exchange(bytes, patienceMs).then(resolve, () => resolve({ status: null, text: '' }));
          } else done(statusOf());
        };
        socket ??= dial();
        socket.write(bytes);
      });
    },
    close: () => void socket?.destroy(),
  };
}
