import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { http } from './http.ts';

const say = (): void => {};

describe('bad requests', () => {
  it('get the right answers, and the gateway goes on', async () => {
    const work = mkdtempSync(join(tmpdir(), 'flotilla-fuzz-'));
    const stack = await startStack({ dataDir: work, nodes: 0, gateways: 1, phones: false, durable: false });
    try {
      const gateway = stack.gateways[0];
      const api = { url: gateway?.url ?? '', key: stack.adminKey };
      const { faults } = await http.run({ api, dice: seededDice(7), say }, 600);
      expect(faults).toEqual([]);
      expect(gateway?.running()).toBe(true);
      expect((await fetch(`${api.url}/live`)).status).toBe(200);
    } finally {
      await stack.stop();
      rmSync(work, { recursive: true, force: true });
    }
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
