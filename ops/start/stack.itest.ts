import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../lifecycle/index.ts';
import { isAlive } from './lock.mjs';
import { createStack, type Stack, type StackEvent, type StackOptions, startStack } from './stack.ts';

const TREE = fileURLToPath(new URL('./fixtures/tree', import.meta.url));
const folders: string[] = [];
const stacks: { stop(): Promise<void> }[] = [];

function options(more: Partial<StackOptions> = {}): StackOptions & { events: StackEvent[] } {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-stack-'));
  folders.push(dataDir);
  const events: StackEvent[] = [];
  return { dataDir, distDir: TREE, durable: false, onEvent: (event) => events.push(event), ...more, events };
}

async function started(given: StackOptions): Promise<Stack> {
  const stack = await startStack(given);
  stacks.push(stack);
  return stack;
}

async function until(what: string, test: () => boolean): Promise<void> {
  for (const end = systemClock.monotonic() + 60_000; systemClock.monotonic() < end; ) {
    if (test()) return;
    await systemClock.sleep(25);
  }
  throw new Error(`never happened: ${what}`);
}

const pidsOf = (stack: Stack): number[] =>
  [...stack.gateways, ...stack.nodes, stack.phones, stack.redis, stack.postgres].map((one) => one?.pid ?? 0);

afterEach(async () => {
  for (const stack of stacks.splice(0)) await stack.stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe('a stack', () => {
  it('starts everything, makes devices through the API, stops everything', async () => {
    const given = options({ devices: 120, nodes: 3 });
    const stack = await started(given);
    const pids = pidsOf(stack);
    expect(pids).toHaveLength(7);
    expect(pids.every((pid) => isAlive(pid, ''))).toBe(true);
    expect(stack.nodes.map((node) => node.id)).toEqual(['node-1', 'node-2', 'node-3']);
    expect(await (await fetch(`${stack.nodes[1]?.metricsUrl}/metrics`)).text()).toBe('ok');
    expect(new URL(stack.databaseUrl).protocol).toBe('postgres:');
    expect(given.events.filter((event) => event.type === 'log').map((event) => event.event)).toContain('looking around');
    await stack.stop();
    expect(pids.filter((pid) => isAlive(pid, ''))).toEqual([]);
  });

  it('starts a killed process again on its port and says so', async () => {
    const given = options({ restart: true });
    const stack = await started(given);
    const gateway = stack.gateways[0];
    const victims = [gateway, stack.nodes[0], stack.redis, stack.postgres];
    const before = victims.map((one) => one?.pid);
    for (const one of victims) one?.kill('SIGKILL');
    await until('four restarts', () => given.events.filter((event) => event.type === 'restarted').length === 4);
    expect(victims.map((one) => one?.pid).some((pid, index) => pid === before[index])).toBe(false);
    expect(await (await fetch(`${gateway?.url}/pid`)).text()).toBe(String(gateway?.pid));
  });

  it('leaves dead processes to the caller when told so, and restarts by hand', async () => {
    const given = options();
    const stack = await started(given);
    const node = stack.nodes[0];
    node?.kill('SIGKILL');
    await until('the node is gone', () => node?.running() === false);
    await systemClock.sleep(400);
    expect(node?.running()).toBe(false);
    const metricsUrl = node?.metricsUrl;
    await node?.restart();
    expect(node?.metricsUrl).toBe(metricsUrl);
    expect((await stack.addNode()).id).toBe('node-3');
  });

  it('ends deaf and frozen processes within its bounds', async () => {
    const stack = await started(options({ env: { FIXTURE_DEAF: 'true', DRAIN_MS: '500' } }));
    const pids = pidsOf(stack);
    stack.nodes[0]?.kill('SIGSTOP');
    stack.redis?.kill('SIGSTOP');
    await stack.stop();
    expect(pids.filter((pid) => isAlive(pid, ''))).toEqual([]);
  });

  it('names the part that does not start, with its last words, and leaves nothing behind', async () => {
    const given = options({ distDir: join(TREE, 'nowhere') });
    await expect(startStack(given)).rejects.toThrow(/migrate ended with code 1[\s\S]*Cannot find module/);
    expect(readFileSync(join(given.dataDir, 'logs', 'migrate.log'), 'utf8')).toContain('Cannot find module');
  });

  it('can be stopped in the middle of its start', async () => {
    const stack = createStack(options());
    const outcome = stack.start().then(
      () => 'up',
      () => 'stopped',
    );
    await systemClock.sleep(300);
    await stack.stop();
    expect(await outcome).toBe('stopped');
  });
});
