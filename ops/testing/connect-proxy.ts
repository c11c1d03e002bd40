import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** An HTTP proxy on loopback that tells what went through it. For tests. */
export interface ConnectProxy {
  /** with the credentials that it wants */
  readonly url: string;
  /** host:port, for lists of exceptions */
  readonly place: string;
  /** targets it was asked for, in order */
  readonly asked: readonly string[];
  /** local ports of its connections to the targets: what a server sees as the other's port */
  readonly ports: ReadonlySet<number>;
  /** bytes that went through, to the servers and back */
  readonly bytes: { up: number; down: number };
  /** an answer in place of a tunnel: 403, 407, 502; `silent` = none; `reset` = every connection is cut at once; undefined = it does its work */
  refuse: number | 'silent' | 'reset' | undefined;
  /** ends all tunnels */
  cut(): void;
  stop(): Promise<void>;
}

/** `credentials`: user:password */
export async function startConnectProxy(credentials?: string): Promise<ConnectProxy> {
  const asked: string[] = [];
  const ports = new Set<number>();
  const bytes = { up: 0, down: 0 };
  const open = new Set<Duplex>();
  const server: Server = createServer((_request, response) => response.writeHead(405).end());
  const wanted = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
  const kept = <T extends Duplex>(socket: T): T => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    return socket;
  };
  const tunnel = (target: string, client: Duplex, head: Buffer): void => {
    const at = new URL(`tcp://${target}`);
    const upstream: Socket = kept(connect(Number(at.port), at.hostname));
    upstream.on('connect', () => {
      ports.add(upstream.localPort ?? 0);
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) upstream.write(head);
      bytes.up += head.length;
      client.on('data', (chunk: Buffer) => (bytes.up += chunk.length));
      upstream.on('data', (chunk: Buffer) => (bytes.down += chunk.length));
      client.pipe(upstream).pipe(client);
    });
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  };
  const proxy = {
    refuse: undefined as ConnectProxy['refuse'],
  };
  server.on('connection', (socket: Socket) => {
    if (proxy.refuse === 'reset') socket.resetAndDestroy();
  });
  server.on('connect', (request, client, head) => {
    kept(client);
    asked.push(request.url ?? '');
    if (proxy.refuse === 'silent' || proxy.refuse === 'reset') return;
    const refusal = proxy.refuse ?? (wanted !== undefined && request.headers['proxy-authorization'] !== wanted ? 407 : undefined);
    if (refusal !== undefined) client.end(`HTTP/1.1 ${refusal} No\r\ncontent-length: 0\r\n\r\n`);
    else tunnel(request.url ?? '', client, head);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  return Object.assign(proxy, {
    url: `http://${credentials === undefined ? '' : `${credentials}@`}${place}`,
    place,
    asked,
    ports,
    bytes,
    cut,
    async stop() {
      cut();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
