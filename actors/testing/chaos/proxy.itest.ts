import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock, seededDice } from '../../../ops/lifecycle/index.ts';
import { createProxy, type FaultProxy } from './proxy.ts';

/** A server that keeps what it was told and answers each line with `<line>!`. */
describe('the fault proxy', () => {
  let server: Server;
  let proxy: FaultProxy;
  const sockets: Socket[] = [];
  const told: string[] = [];

  beforeEach(async () => {
    told.length = 0;
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => socket.destroy());
      socket.on('data', (chunk) => {
        for (const line of String(chunk).split('\n').filter(Boolean)) {
          told.push(line);
          socket.write(`${line}!`);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    proxy = await createProxy({ clock, dice: seededDice(1) });
    proxy.target((server.address() as { port: number }).port);
  });
  afterEach(async () => {
    await proxy.close();
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });

  const dial = async (): Promise<{ socket: Socket; text(): string; closed(): boolean }> => {
    const socket = connect({ host: '127.0.0.1', port: proxy.port });
    let text = '';
    let closed = false;
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      closed = true;
    });
    sockets.push(socket);
    await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', () => resolve()));
    return { socket, text: () => text, closed: () => closed };
  };
  const soon = async (check: () => boolean, ms = 30_000): Promise<boolean> => {
    for (const end = clock.monotonic() + ms; clock.monotonic() < end && !check(); ) await clock.sleep(5);
    return check();
  };

  it('passes both ways', async () => {
    const line = await dial();
    line.socket.write('a\n');
    expect(await soon(() => line.text() === 'a!')).toBe(true);
  });

  it('resets what stands and what comes', async () => {
    const line = await dial();
    line.socket.write('a\n');
    await soon(() => line.text() === 'a!');
    proxy.disturb({ kind: 'reset' });
    expect(await soon(line.closed)).toBe(true);
    const next = await dial();
    expect(await soon(next.closed)).toBe(true);
    proxy.disturb({ kind: 'none' });
    const last = await dial();
    last.socket.write('b\n');
    expect(await soon(() => last.text() === 'b!')).toBe(true);
  });

  it('holds in one direction, then delivers in order, even from a client that has gone', async () => {
    const line = await dial();
    line.socket.write('a\n');
    await soon(() => line.text() === 'a!');
    proxy.disturb({ kind: 'hold', way: 'replies' });
    line.socket.write('b\n');
    expect(await soon(() => told.includes('b'))).toBe(true);
    await clock.sleep(50);
    expect(line.text()).toBe('a!');
    proxy.disturb({ kind: 'hold', way: 'both' });
    line.socket.write('c\n');
    await clock.sleep(50);
    expect(told).toEqual(['a', 'b']);
    line.socket.destroy();
    await clock.sleep(50);
    proxy.disturb({ kind: 'none' });
    expect(await soon(() => told.length === 3)).toBe(true);
    expect(told).toEqual(['a', 'b', 'c']);
  });

  it('is late without changing the order', async () => {
    proxy.disturb({ kind: 'latency', ms: 60, jitterMs: 50 });
    const line = await dial();
    const began = clock.monotonic();
    for (const word of ['a', 'b', 'c', 'd']) {
      line.socket.write(`${word}\n`);
      await clock.sleep(5);
    }
    expect(await soon(() => line.text() === 'a!b!c!d!')).toBe(true);
    expect(clock.monotonic() - began).toBeGreaterThan(20);
  });

  it('lets no more through than it is wide', async () => {
    proxy.disturb({ kind: 'bandwidth', bytesPerSecond: 1000 });
    const line = await dial();
    const began = clock.monotonic();
    line.socket.write(`${'a'.repeat(299)}\n`);
    expect(await soon(() => line.text().length === 300)).toBe(true);
    expect(clock.monotonic() - began).toBeGreaterThan(400);
    line.socket.write(`${'b'.repeat(99_999)}\n`);
    await clock.sleep(50);
    proxy.disturb({ kind: 'none' });
    expect(await soon(() => line.text().length >= 100_300)).toBe(true);
  });

  it('keeps the target that a fault has changed when a process starts again', async () => {
    proxy.targetOnce(1);
    const line = await dial();
    line.socket.write('a\n');
    expect(await soon(() => line.text() === 'a!')).toBe(true);
  });

  it('loses a reply after the command ran', async () => {
    const line = await dial();
    proxy.disturb({ kind: 'lose-replies', rate: 1 });
    line.socket.write('a\n');
    expect(await soon(line.closed)).toBe(true);
    expect(told).toEqual(['a']);
    expect(line.text()).toBe('');
    expect(proxy.figures.lostReplies).toBe(1);
  });
});
