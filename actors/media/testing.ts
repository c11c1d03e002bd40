import { createCipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ReceivedMedia } from '../../schema/domain/index.ts';

/** A media server of our own on loopback, with files sealed as WhatsApp seals them. For tests. */
export interface SealedFiles {
  readonly url: string;
  readonly asked: readonly string[];
  /** puts a file there; `spoil` changes the sealed bytes */
  add(kind: ReceivedMedia['kind'], plain: Buffer, spoil?: (sealed: Buffer) => Buffer): { readonly path: string; readonly key: string };
  stop(): Promise<void>;
}

const label = (kind: string): string => `WhatsApp ${kind === 'sticker' ? 'Image' : kind.charAt(0).toUpperCase() + kind.slice(1)} Keys`;

export function seal(kind: ReceivedMedia['kind'], key: Buffer, plain: Buffer): Buffer {
  const keys = Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), label(kind), 112));
  const iv = keys.subarray(0, 16);
  const cipher = createCipheriv('aes-256-cbc', keys.subarray(16, 48), iv);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  const mac = createHmac('sha256', keys.subarray(48, 80)).update(iv).update(body).digest().subarray(0, 10);
  return Buffer.concat([body, mac]);
}

export async function startSealedFiles(): Promise<SealedFiles> {
  const files = new Map<string, Buffer>();
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const found = files.get(request.url ?? '');
    if (found === undefined) response.writeHead(404).end();
    else response.writeHead(200).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    add(kind, plain, spoil = (sealed) => sealed) {
      const key = randomBytes(32);
      const path = `/v/t62/${files.size}.enc?ccb=1`;
      files.set(path, spoil(seal(kind, key, plain)));
      return { path, key: key.toString('base64') };
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
