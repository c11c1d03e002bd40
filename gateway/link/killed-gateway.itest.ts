import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { ask, type Stack, startStack } from '../../ops/start/index.ts';
import type { LinkClient } from '../../schema/link/index.ts';
import { linkClient } from '../../schema/link/ws.testing.ts';

/**
 * Two gateways, two nodes, link devices on both, and one gateway killed in the middle: every message whose acceptance was answered reaches its
 * device, once as far as the device's user can see, in order, and every ack reaches the ledger.
 */
const DEVICES = 24;
const PER_DEVICE = 16;
const WAIT_MS = 120_000;
const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-link-'));
let stack: Stack;

interface Device {
  readonly id: string;
  readonly shown: string[];
  readonly confirmed: Set<string>;
  readonly client: LinkClient;
}
const devices: Device[] = [];

const api = (index: number) => ({ url: stack.gateways[index]?.url ?? '', key: stack.adminKey });
const until = async (what: () => string, good: () => boolean | Promise<boolean>): Promise<void> => {
  const end = clock.monotonic() + WAIT_MS;
  while (!(await good())) {
    if (clock.monotonic() > end) throw new Error(`waited ${WAIT_MS} ms for ${what()}`);
    await clock.sleep(50);
  }
};
/** The ledger's id of a message that was accepted; undefined when nobody answered. */
const send = async (index: number, deviceId: string, body: string): Promise<string | undefined> => {
  try {
    const { sendMessage } = await ask<{ sendMessage: { message: { id: string } | null } }>(
      api(index),
      'mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }',
      { input: { deviceId, to: '+15551234567', body } },
    );
    // Message:<id in the ledger>
    return sendMessage.message?.id.split(':').at(-1);
  } catch {
    return undefined;
  }
};

beforeAll(async () => {
  stack = await startStack({
    dataDir,
    nodes: 2,
    gateways: 2,
    phones: false,
    durable: false,
    env: { PACING: 'off', SEND_TIMEOUT_MS: '2000', LINK_HEARTBEAT_MS: '2000' },
  });
  const urls = stack.gateways.map(({ url }) => `${url.replace('http', 'ws')}/link`);
  for (let at = 0; at < DEVICES; at++) {
    const { createDevice } = await ask<{ createDevice: { device: { id: string }; linkToken: string } }>(
      api(0),
      'mutation($input: CreateDeviceInput!) { createDevice(input: $input) { device { id } linkToken } }',
      { input: { name: `device ${at}`, transport: 'LINK', paceMinMs: 0, paceMaxMs: 0 } },
    );
    const shown: string[] = [];
    const confirmed = new Set<string>();
    const client = linkClient({
      // every other device dials the gateway that will be killed
      urls: at % 2 === 0 ? urls : [...urls].reverse(),
      token: createDevice.linkToken,
      backoff: { baseMs: 100, capMs: 1000 },
      onMessage: ({ body }) => void shown.push(body),
      onConfirmed: (id, status) => void confirmed.add(`${id} ${status}`),
    });
    devices.push({ id: createDevice.device.id, shown, confirmed, client });
  }
  await until(
    () => 'all devices connected',
    async () => (await ask<{ fleet: { connected: number } }>(api(0), '{ fleet { connected } }')).fleet.connected === DEVICES,
  );
}, 240_000);
afterAll(async () => {
  for (const { client } of devices) client.stop();
  await stack?.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 60_000);

it('a killed gateway loses no accepted message and no ack; its devices go on at the other one', async () => {
  const accepted = new Map<Device, { readonly id: string; readonly body: string }[]>(devices.map((device) => [device, []]));
  const round = async (at: number): Promise<void> => {
    await Promise.all(
      devices.map(async (device, index) => {
        const id = await send(index % 2, device.id, `${at}`);
        if (id !== undefined) accepted.get(device)?.push({ id, body: `${at}` });
      }),
    );
  };
  for (let at = 0; at < PER_DEVICE / 2; at++) await round(at);
  const half = round(PER_DEVICE / 2);
  stack.gateways[0]?.kill('SIGKILL');
  await half;
  for (let at = PER_DEVICE / 2 + 1; at < PER_DEVICE; at++) await round(at);
  const wanted = [...accepted.values()].flat();
  expect(wanted.length).toBeGreaterThan((DEVICES * PER_DEVICE) / 2);

  const complete = ({ client, confirmed }: Device, own: readonly { readonly id: string }[]): boolean =>
    client.unconfirmed() === 0 && own.every(({ id }) => confirmed.has(`${id} sent`) && confirmed.has(`${id} delivered`));
  await until(
    () => `all acks confirmed; open: ${devices.filter((device) => !complete(device, accepted.get(device) ?? [])).length} devices`,
    () => [...accepted].every(([device, own]) => complete(device, own)),
  );
  for (const [device, own] of accepted) {
    // what was sent without an answer may have been accepted too, so more may have come; each once, in order
    expect(device.shown).toEqual([...new Set(device.shown)].sort((a, b) => Number(a) - Number(b)));
    expect(device.shown).toEqual(expect.arrayContaining(own.map(({ body }) => body)));
  }
  const state = async (id: string): Promise<string> =>
    (await ask<{ message: { state: string } }>(api(1), 'query($id: ID!) { message(id: $id) { state } }', { id: `Message:${id}` })).message
      .state;
  for (const own of accepted.values()) {
    expect(await Promise.all(own.map(({ id }) => state(id)))).toEqual(own.map(() => 'DELIVERED'));
  }
}, 240_000);

it('who says STOP over a link is not messaged again', async () => {
  const [device] = devices;
  device?.client.inbound({ id: 'in-1', from: '+15559876543', body: 'Stop!' });
  await until(
    () => 'the inbound message to be stored',
    () => device?.client.unconfirmed() === 0,
  );
  const { sendMessage } = await ask<{ sendMessage: { errors: { code: string }[] } }>(
    api(1),
    'mutation($input: SendMessageInput!) { sendMessage(input: $input) { errors { code } } }',
    { input: { deviceId: device?.id, to: '+15559876543', body: 'again' } },
  );
  expect(sendMessage.errors).toEqual([expect.objectContaining({ code: 'RECIPIENT_SUPPRESSED' })]);
});
