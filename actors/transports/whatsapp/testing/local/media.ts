import { createDecipheriv } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getMediaKeys, hmacSign, type MediaType, type proto } from '@whiskeysockets/baileys';
import { systemClock } from '../../../../../ops/lifecycle/index.ts';
import { selfSigned } from '../../../../../ops/testing/index.ts';

/** The media server beside the WhatsApp-shaped one: takes encrypted files and opens them as a recipient's phone would. */
export interface MediaServer {
  /** host:port, for `media_conn`; started when first asked for */
  host(): Promise<string>;
  /** the plain bytes of a message's media. @throws when they were not uploaded or do not fit their keys */
  open(message: proto.IMessage): Promise<Buffer>;
  readonly uploads: ReadonlyMap<string, Buffer>;
  close(): Promise<void>;
}

const MAC_BYTES = 10;

/** `came` is called with each connection */
export function createMediaServer(came: (socket: Socket) => void = () => {}): MediaServer {
  const uploads = new Map<string, Buffer>();
  let started: Promise<{ readonly host: string; close(): Promise<void> }> | undefined;
  const start = async () => {
    const server = createServer(selfSigned(systemClock.wall()), (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const path = new URL(request.url ?? '/', 'https://local').pathname;
        if (request.method !== 'POST') {
          response.writeHead(404).end();
          return;
        }
        uploads.set(path, Buffer.concat(parts));
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ url: `https://${request.headers.host}${path}`, direct_path: path }));
      });
    });
    server.on('connection', came);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const close = (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
  };
  return {
    uploads,
    async host() {
      started ??= start();
      return (await started).host;
    },
    async open(message) {
      const kinds = ['image', 'video', 'audio', 'document'] as const;
      const kind = kinds.find((one) => message[`${one}Message`] != null);
      const media = kind === undefined ? null : message[`${kind}Message`];
      if (kind === undefined || media == null) throw new Error('the message has no media');
      const sealed = uploads.get(media.directPath ?? '');
      if (sealed === undefined) throw new Error(`nothing was uploaded to ${media.directPath}`);
      const { iv, cipherKey, macKey } = await getMediaKeys(media.mediaKey ?? '', kind as MediaType);
      if (macKey == null) throw new Error('no key for the seal');
      const [body, mac] = [sealed.subarray(0, -MAC_BYTES), sealed.subarray(-MAC_BYTES)];
      if (
        !hmacSign(Buffer.concat([iv, body]), macKey)
          .subarray(0, MAC_BYTES)
          .equals(mac)
      )
        throw new Error('its seal does not fit');
      const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
      return Buffer.concat([decipher.update(body), decipher.final()]);
    },
    async close() {
      if (started !== undefined) await (await started).close();
    },
  };
}
