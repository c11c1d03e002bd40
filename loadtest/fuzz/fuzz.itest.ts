import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { graphql } from './graphql.ts';
import { http } from './http.ts';
import { kindsOf, slow } from './slow.ts';

const say = (): void => {};

let work: string;
let stack: Awaited<ReturnType<typeof startStack>>;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'flotilla-fuzz-'));
  stack = await startStack({ dataDir: work, nodes: 0, gateways: 1, phones: false, durable: false });
}, 120_000);
afterAll(async () => {
  await stack?.stop();
  rmSync(work, { recursive: true, force: true });
});
const world = (seed: number) => ({ api: { url: stack.gateways[0]?.url ?? '', key: stack.adminKey }, dice: seededDice(seed), say });
afterEach(async () => {
  expect(stack.gateways[0]?.running()).toBe(true);
  expect((await fetch(`${world(0).api.url}/ready`)).status).toBe(200);
});

describe('bad input', () => {
  it('gets the right answers over HTTP and GraphQL sockets', async () => {
    const results = await Promise.all([http.run(world(7), 600), graphql.run(world(8), 1_500)]);
    expect(results.flatMap(({ faults }) => faults)).toEqual([]);
  }, 300_000);

  it('that comes slowly is ended, and who behaves is served meanwhile', async () => {
    expect((await slow.run(world(9), kindsOf('').length)).faults).toEqual([]);
  }, 300_000);

  it('a server that answers wrongly is found out', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 500 Oops\r\ncontent-length: 30\r\n\r\nError at run (/srv/run.ts:12:3)'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { faults } = await http.run({ api: { url: `http://127.0.0.1:${port}`, key: 'k' }, dice: seededDice(1), say }, 50);
    expect(faults.some((fault) => fault.includes('500 is wrong'))).toBe(true);
    expect(faults.some((fault) => fault.includes('insides'))).toBe(true);
    await new Promise((resolve) => server.close(resolve));
  }, 120_000);
});
