import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { reachable } from './reachable.ts';

it('finds a server that listens, and names variable, host and port of one that does not, never the password', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await reachable('REDIS_URL', `redis://:secret@127.0.0.1:${port}/0`, 6379);
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  const failed = await reachable('REDIS_URL', `redis://:secret@127.0.0.1:${port}/0`, 6379).catch((error: unknown) => error);
  expect(String(failed)).toMatch(new RegExp(`REDIS_URL: nothing answers at 127.0.0.1:${port} \\(ECONNREFUSED\\)`));
  expect(String(failed)).not.toContain('secret');
});
