import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { createSender } from './sender.ts';

interface Asked {
  readonly idempotencyKey: string;
  readonly deviceId: string;
}

/** A gateway that keeps what it accepted by key, and breaks off every third answer after it has committed. */
async function startGateway(accepted: Map<string, string>, broken: { count: number }): Promise<{ url: string; server: Server }> {
  let requests = 0;
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += String(chunk);
    });
    request.on('end', () => {
      const { variables } = JSON.parse(text) as { variables: Record<string, Asked> };
      const data: Record<string, unknown> = {};
      for (const [name, input] of Object.entries(variables)) {
        const id = accepted.get(input.idempotencyKey) ?? uuidV7(systemClock.wall());
        accepted.set(input.idempotencyKey, id);
        data[name.replace('i', 'm')] =
          requests % 5 === 4
            ? { message: null, errors: [{ code: 'UNAVAILABLE', message: 'later' }] }
            : { message: { id: `Message:${id}` }, errors: [] };
      }
      requests += 1;
      if (requests % 3 === 0) {
        broken.count += 1;
        request.socket.destroy();
      } else response.end(JSON.stringify({ data }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`, server };
}

describe('the client of the chaos runs', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  it('asks again with the same key until every message of the budget is answered, and makes no more than the budget', async () => {
    const accepted = new Map<string, string>();
    const broken = { count: 0 };
    const gateway = await startGateway(accepted, broken);
    servers.push(gateway.server);
    const sender = createSender(
      { clock: systemClock, dice: seededDice(4) },
      {
        total: 200,
        deviceIds: ['d1', 'd2', 'd3'],
        gateways: [gateway.url, 'http://127.0.0.1:1'],
        key: 'k',
        run: 'test',
        batch: 10,
        concurrency: 4,
      },
    );
    await sender.burst(['d1', 'd2'], 5);
    expect(sender.answered.size).toBe(10);
    sender.rate(400);
    await systemClock.sleep(250);
    await sender.finish();
    expect(sender.made).toBe(200);
    expect(accepted.size).toBe(200);
    expect(new Set(sender.answered)).toEqual(new Set(accepted.values()));
    expect(broken.count).toBeGreaterThan(0);
    expect(sender.retries).toBeGreaterThan(0);
  });

  it('says so when the API refuses for good', async () => {
    const server = createServer((_request, response) =>
      response.end(JSON.stringify({ data: { m0: { message: null, errors: [{ code: 'DEVICE_NOT_FOUND', message: 'no' }] } } })),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const sender = createSender(
      { clock: systemClock, dice: seededDice(4) },
      { total: 1, deviceIds: ['d1'], gateways: [url], key: 'k', run: 'test', batch: 10, concurrency: 1 },
    );
    await expect(sender.burst(['d1'], 1)).rejects.toThrow('DEVICE_NOT_FOUND');
  });
});
