import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectRedis } from '../../../ops/connect/index.ts';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { startRedis, type TestRedis } from '../../../ops/testing/index.ts';
import { deviceKeys, gatewayChannel, nodeChannel, type ToGateway, type ToNode } from '../../../schema/domain/index.ts';
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
    transport: createLinkTransport({ bus, get: (key) => general.get(key), clock: systemClock, telemetry }, { lookMs }),
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
