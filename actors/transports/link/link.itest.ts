import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis } from '../../../ops/connect/index.ts';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { startRedis, type TestRedis } from '../../../ops/testing/index.ts';
import { deviceKeys, gatewayChannel, nodeChannel, partitionOf, type ToGateway, type ToNode } from '../../../schema/domain/index.ts';
import { createControlLane } from '../../mailbox/index.ts';
import { createNodeBus, createSubscriptions } from '../../node/index.ts';
import { type TransportPeer, transportConformance } from '../conformance.ts';
import { createLinkTransport } from './index.ts';

const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });
let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server.stop();
});

/** A stand-in for gateway/link: presence keys, frames over pub/sub, and a device that answers every send at once. */
async function startPeer(lookMs = 5000): Promise<TransportPeer & { forget(device: string): Promise<void> }> {
  const general = connectRedis(server.url, { role: 'general', name: 'test' });
  const nodeSubscriber = connectRedis(server.url, { role: 'subscriber', name: 'test-node' });
  const gatewaySubscriber = connectRedis(server.url, { role: 'subscriber', name: 'test-gateway' });
  const bus = await createNodeBus(
    { publisher: general, subscriptions: createSubscriptions(nodeSubscriber, telemetry.log), log: telemetry.log },
    'node-1',
  );
  const arrived: string[] = [];
  const refuse = new Set<string>();
  const mute = new Set<string>();
  const sockets = new Map<string, string>();
  let socketNumber = 0;
  const say = (messages: ToNode[]): void => void general.publish(nodeChannel('node-1'), JSON.stringify(messages));
  gatewaySubscriber.on('message', (_channel: string, text: string) => {
    for (const frame of JSON.parse(text) as ToGateway[]) {
      if (frame.kind !== 'link.send' || !sockets.has(frame.deviceId)) continue;
      const ack = (status: 'sent' | 'delivered' | 'read' | 'rejected'): ToNode => ({
        kind: 'link.ack',
        deviceId: frame.deviceId,
        id: frame.id,
        epoch: frame.epoch,
        status,
        error: status === 'rejected' ? 'no such contact' : null,
      });
      if (refuse.delete(frame.deviceId)) {
        say([ack('rejected')]);
        continue;
      }
      arrived.push(frame.id);
      if (!mute.delete(frame.deviceId)) say([ack('sent'), ack('delivered'), ack('read')]);
    }
  });
  await gatewaySubscriber.subscribe(gatewayChannel('gateway-1'));
  const attach = async (device: string): Promise<void> => {
    socketNumber += 1;
    const socket = `s${socketNumber}`;
    sockets.set(device, socket);
    await general.set(deviceKeys(device).link, JSON.stringify({ gateway: 'gateway-1', socket }));
    say([{ kind: 'link.up', deviceId: device, gateway: 'gateway-1', socket }]);
  };
  return {
    transport: createLinkTransport(
      { bus, get: (key) => general.get(key), control: createControlLane(general), clock: systemClock, telemetry },
      { lookMs },
    ),
    arrivals: (id) => Promise.resolve(arrived.filter((other) => other === id).length),
    refuseNext: (device) => Promise.resolve(void refuse.add(device)),
    muteNext: (device) => Promise.resolve(void mute.add(device)),
    async drop(device) {
      await general.del(deviceKeys(device).link);
      say([{ kind: 'link.down', deviceId: device, socket: sockets.get(device) ?? '', reason: 'CLOSED' }]);
      sockets.delete(device);
    },
    restore: attach,
    prepare: attach,
    async forget(device) {
      sockets.delete(device);
      await general.del(deviceKeys(device).link);
    },
    async close() {
      for (const client of [general, nodeSubscriber, gatewaySubscriber]) client.disconnect();
      await systemClock.sleep(1);
    },
  };
}

transportConformance('link', () => startPeer(), { inbound: false });

it('notices by itself that a socket is gone when nobody said so', async () => {
  const peer = await startPeer(100);
  const device = '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf';
  await peer.prepare(device);
  const states: string[] = [];
  peer.transport.connect(
    { id: device, tenantId: device, epoch: 1, node: 'node-1', phone: null, settings: {}, canAct: () => true },
    { state: ({ state, reason }) => void states.push(`${state} ${reason ?? ''}`), receipt() {}, inbound: () => Promise.resolve() },
    new AbortController().signal,
  );
  while (states.at(-1) !== 'ONLINE ') await systemClock.sleep(5);
  await peer.forget(device);
  while (states.at(-1) !== 'OFFLINE NO_SOCKET') await systemClock.sleep(5);
  expect(states).toEqual(['CONNECTING ', 'ONLINE ', 'OFFLINE NO_SOCKET']);
  await peer.transport.close();
  await peer.close();
});

describe('the control lane', () => {
  const seen: { readonly state: string; settled?: (() => void) | undefined }[] = [];
  const device = '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf';
  const messageId = '01a1fc14-13ac-793b-ace1-10d7ff6dcdd0';
  const connectTo = (peer: Awaited<ReturnType<typeof startPeer>>) =>
    peer.transport.connect(
      { id: device, tenantId: device, epoch: 4, node: 'node-1', phone: null, settings: {}, canAct: () => true },
      {
        state: () => {},
        receipt: ({ state, settled }) => void seen.push({ state, settled }),
        inbound: () => Promise.resolve(),
      },
      new AbortController().signal,
    );

  it('I5, K2: acks that nobody told this node of are found, and confirmed and taken out once the ledger has judged them', async () => {
    seen.length = 0;
    const peer = await startPeer();
    const redis = connectRedis(server.url, { role: 'general', name: 'test-lane' });
    const ears = connectRedis(server.url, { role: 'subscriber', name: 'test-ears' });
    const confirmed: string[] = [];
    ears.on('message', (_channel: string, text: string) => {
      for (const message of JSON.parse(text) as ToGateway[])
        if (message.kind === 'link.ok') confirmed.push(`${message.id} ${message.status}`);
    });
    await ears.subscribe(gatewayChannel('gateway-1'));
    const lane = createControlLane(redis);
    const kept = (status: 'delivered' | 'failed', epoch: number) => ({
      deviceId: device,
      messageId,
      status,
      epoch,
      error: null,
      at: systemClock.wall(),
    });
    const stranger = '01a1fc14-13ac-793b-ace1-10d7ff6dcdff';
    // of an owner before: the proof counts, the refusal says nothing any more
    await lane.keep([kept('delivered', 3), kept('failed', 3), { ...kept('delivered', 3), deviceId: stranger }]);
    await peer.prepare(device);
    const connection = connectTo(peer);
    await expect.poll(() => seen.map(({ state }) => state)).toEqual(['DELIVERED']);
    await expect.poll(() => confirmed).toEqual([`${messageId} failed`]);
    const left = async () => (await lane.read([partitionOf(device)])).map(({ status }) => status);
    expect(await left()).toEqual(['delivered']);
    seen[0]?.settled?.();
    await expect.poll(() => confirmed).toEqual([`${messageId} failed`, `${messageId} delivered`]);
    await expect.poll(left).toEqual([]);
    // another device's, which this node does not own
    expect(await lane.read([partitionOf(stranger)])).toHaveLength(1);
    await connection.close();
    await peer.transport.close();
    await peer.close();
    for (const client of [redis, ears]) client.disconnect();
  });

  it('A2: a partition holds a bounded number; what is known already is never refused', async () => {
    const redis = connectRedis(server.url, { role: 'general', name: 'test-lane' });
    const lane = createControlLane(redis, { most: 2 });
    const other = '01a1fc14-13ac-793b-ace1-10d7ff6dcde1';
    const ack = (id: string) => ({ deviceId: other, messageId: id, status: 'sent' as const, epoch: 1, error: null, at: 5 });
    expect(await lane.keep(['m1', 'm2', 'm3'].map(ack))).toBe(2);
    expect(await lane.keep(['m2', 'm3'].map(ack))).toBe(1);
    await lane.remove([ack('m1')]);
    expect(await lane.keep([ack('m3')])).toBe(1);
    redis.disconnect();
  });
});
