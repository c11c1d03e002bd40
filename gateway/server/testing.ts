import { createHash, randomBytes } from 'node:crypto';
import { connect, type Socket as TcpSocket } from 'node:net';

/** Raw readers for tests: nothing between the wire and the check. */

export interface WireFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Splits server-to-client WebSocket bytes (RFC 6455, 5.2) into frames. @throws on bytes that cannot be frames of ours: damage */
export function createFrameSplitter(onFrame: (frame: WireFrame) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      if (rest.length < 2) return;
      const first = rest[0] ?? 0;
      const second = rest[1] ?? 0;
      const opcode = first & 0x0f;
      if ((first & 0xf0) !== 0x80 || second >= 128 || ![1, 2, 8, 9, 10].includes(opcode)) {
        throw new Error(`not a frame header: ${first.toString(16)} ${second.toString(16)}`);
      }
      const head = second === 126 ? 4 : second === 127 ? 10 : 2;
      if (rest.length < head) return;
      const length = second === 126 ? rest.readUInt16BE(2) : second === 127 ? Number(rest.readBigUInt64BE(2)) : second;
      if (length > 16 * 1024 * 1024) throw new Error(`frame of ${length} bytes`);
      if (rest.length < head + length) return;
      onFrame({ opcode, payload: Buffer.from(rest.subarray(head, head + length)) });
      rest = rest.subarray(head + length);
    }
  };
}

/** A masked client frame. */
export function clientFrame(opcode: number, payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const length = payload.length;
  const head =
    length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.from([0x80 | opcode, 0x80 | 126, length >> 8, length & 255]);
  const masked = Buffer.from(payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0)));
  return Buffer.concat([head, mask, masked]);
}

/** Opens a raw TCP socket, does the upgrade, resolves with the socket and whatever followed the handshake's head. */
export function rawUpgrade(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly tcp: TcpSocket; readonly head: string; readonly rest: Buffer }> {
  return new Promise((resolve, reject) => {
    const key = createHash('sha1').update(randomBytes(16)).digest().subarray(0, 16).toString('base64');
    const tcp = connect(port, '127.0.0.1');
    let seen: Buffer = Buffer.alloc(0);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    tcp.once('error', reject);
    tcp.on('connect', () => {
      tcp.write(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${lines.join('')}\r\n`,
      );
    });
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf('\r\n\r\n');
      if (end < 0) return;
      tcp.off('data', onData);
      tcp.off('error', reject);
      tcp.on('error', () => {});
      resolve({ tcp, head: seen.subarray(0, end).toString('latin1'), rest: seen.subarray(end + 4) });
    };
    tcp.on('data', onData);
  });
}

/** Sends raw bytes over a new connection and gives back all that came until a whole head was there, or the server closed it. */
export function rawExchange(port: number, parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const tcp = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    const finish = (): void => {
      clearTimeout(timer);
      tcp.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    const timer = setTimeout(finish, 60_000);
    tcp.on('error', reject);
    tcp.on('connect', () => {
      for (const part of parts) tcp.write(part);
    });
    tcp.on('data', (chunk) => {
      chunks.push(chunk);
      if (Buffer.concat(chunks).includes('\r\n\r\n')) finish();
    });
    tcp.on('close', finish);
  });
}
