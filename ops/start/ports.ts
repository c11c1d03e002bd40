import { createServer, type Server } from 'node:net';
import { type Dice, systemDice } from '../lifecycle/index.ts';

async function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

/** Below this the system gives no ports to clients: Linux starts at 32768, others higher. */
const FIRST_CLIENT_PORT = 32_768;
const LOWEST = 20_000;
const TRIES = 50;

/**
 * A TCP port of loopback that is free now: the preferred one when it is, else one below the range from which the system serves clients. A
 * process that dies and comes back finds such a port free; one of that range may meanwhile be the local end of anybody's connection, or
 * of a client's own attempt to reach it. Another process may take it before the caller listens; callers start again with another one then.
 */
export async function freePort(preferred?: number, dice: Dice = systemDice): Promise<number> {
  let server = preferred === undefined ? undefined : await listen(preferred);
  for (let tries = 0; server === undefined && tries < TRIES; tries++) {
    server = await listen(LOWEST + Math.floor(dice.next() * (FIRST_CLIENT_PORT - LOWEST)));
  }
  server ??= await listen(0);
  const address = server?.address();
  if (server === undefined || address === null || typeof address !== 'object') throw new Error('no free port on 127.0.0.1');
  const { port } = address as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
