import { createServer, type Server } from 'node:net';

async function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

/**
 * A TCP port of loopback that is free now: the preferred one when it is, else one that the system picks.
 * Another process may take it before the caller listens; callers start again with another one then.
 */
export async function freePort(preferred?: number): Promise<number> {
  const server = (preferred === undefined ? undefined : await listen(preferred)) ?? (await listen(0));
  const address = server?.address();
  if (server === undefined || address === null || typeof address !== 'object') throw new Error('no free port on 127.0.0.1');
  const { port } = address as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
