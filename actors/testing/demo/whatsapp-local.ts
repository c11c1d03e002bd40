import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPostgres } from '../../../ops/connect/index.ts';
import { systemClock as clock, createLifetime, type Lifetime } from '../../../ops/lifecycle/index.ts';
import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { type Api, ask, type Stack, startStack } from '../../../ops/start/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import { createPostgresStore, createSessionStore, loadKeyRing } from '../../sessions/index.ts';
import { type LocalWhatsapp, seedSession, startLocalWhatsapp } from '../../transports/whatsapp/testing/index.ts';

/**
 * A real Baileys device on a WhatsApp-shaped server on loopback (crabline): one message through GraphQL, mailbox, ledger and socket to
 * the server's ack; then the node is restarted and the device sends again from its stored session. Not shown here: pairing (that server
 * has none) and receipts. Nothing of it can reach WhatsApp's own servers: WHATSAPP_FORBID_REAL=true in every process.
 */
const TARGETS = {
  firstSendMs: 5000,
  onlineAfterRestartMs: 20_000,
  secondSendMs: 5000,
  arrived: 2,
  pairings: 0,
} as const;
const WAIT_MS = 90_000;

interface Story {
  readonly step: <T>(text: string, task: () => Promise<T>) => Promise<{ readonly result: T; readonly tookMs: number }>;
  readonly lifetime: Lifetime;
}

export async function runWhatsappLocal(write: (text: string) => void): Promise<RunResult> {
  const lifetime = createLifetime();
  const began = clock.monotonic();
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const step: Story['step'] = async (text, task) => {
    const start = clock.monotonic();
    const result = await task();
    const tookMs = Math.round(clock.monotonic() - start);
    write(`${seconds(clock.monotonic() - began).padStart(9)}  ${text} (${seconds(tookMs)})\n`);
    return { result, tookMs };
  };
  const figures: Record<string, Figure> = {};
  let ok = false;
  try {
    await tell({ step, lifetime }, figures);
    ok =
      figures['arrived'] === TARGETS.arrived &&
      figures['pairings'] === TARGETS.pairings &&
      Number(figures['firstSendMs']) <= TARGETS.firstSendMs &&
      Number(figures['secondSendMs']) <= TARGETS.secondSendMs &&
      Number(figures['onlineAfterRestartMs']) <= TARGETS.onlineAfterRestartMs;
  } catch (error) {
    write(`failed: ${error instanceof Error ? error.message : String(error)}\n`);
    figures['problem'] = error instanceof Error ? error.message : String(error);
  } finally {
    await lifetime.end();
  }
  return { name: 'whatsapp-local', ok, figures, targets: TARGETS };
}

async function tell({ step, lifetime }: Story, figures: Record<string, Figure>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-demo-'));
  lifetime.add('data', () => rmSync(dataDir, { recursive: true, force: true }));
  const { result: whatsapp } = await step('a WhatsApp-shaped server listens on loopback', startLocalWhatsapp);
  lifetime.add('whatsapp server', () => whatsapp.close());
  const env = { WHATSAPP_URL: whatsapp.url, WHATSAPP_FORBID_REAL: 'true', DATABASE_URL: undefined, REDIS_URL: undefined };
  const { result: stack } = await step('a stack of its own is up: Redis, Postgres, one gateway, no node yet', () =>
    startStack({ dataDir, nodes: 0, gateways: 1, phones: false, durable: false, env }),
  );
  lifetime.add('stack', () => stack.stop());
  const seen: string[] = [];
  const api: Api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
  const { result: device } = await step('a WhatsApp device is made through GraphQL', () => createDevice(api));
  await step('its session is stored, sealed, as a pairing would have left it', () => seed(stack, dataDir, device, whatsapp));

  const { result: node, tookMs: onlineMs } = await step(
    'a node starts and the device is ONLINE: real Noise handshake, real Baileys',
    async () => {
      const added = await stack.addNode();
      await untilOnline(api, device, 0, seen);
      return added;
    },
  );
  figures['onlineMs'] = onlineMs;
  figures['firstSendMs'] = (
    await step('first message: sendMessage to SENT', () => send(api, device, whatsapp, 'hello from Flotilla'))
  ).tookMs;
  const epoch = await epochOf(api, device);
  const again = await step('the node is restarted; the device is ONLINE again from its stored session', async () => {
    await node.restart();
    await untilOnline(api, device, epoch, seen);
  });
  figures['onlineAfterRestartMs'] = again.tookMs;
  figures['secondSendMs'] = (await step('second message: sendMessage to SENT', () => send(api, device, whatsapp, 'hello again'))).tookMs;
  figures['arrived'] = whatsapp.arrived.length;
  figures['pairings'] = seen.filter((state) => state === 'PAIRING').length;
}

export async function createDevice(api: Api): Promise<string> {
  const { createDevice: made } = await ask<{
    createDevice: { device: { id: string } | null; errors: readonly { code: string; message: string }[] };
  }>(
    api,
    `mutation { createDevice(input: {name: "demo-phone", transport: WHATSAPP, paceMinMs: 0, paceMaxMs: 0}) { device { id } errors { code message } } }`,
  );
  if (made.device === null) throw new Error(`createDevice: ${made.errors[0]?.code} ${made.errors[0]?.message}`);
  return made.device.id;
}

async function seed(stack: Stack, dataDir: string, device: string, whatsapp: LocalWhatsapp): Promise<void> {
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'flotilla-demo', max: 1 });
  try {
    const deviceId = device.replace(/^.*:/, '');
    const [row] = await sql<{ epoch: number }[]>`select epoch from ownership where device_id = ${deviceId}`;
    const ring = loadKeyRing({ DATA_DIR: dataDir, SESSION_KEYS: process.env['SESSION_KEYS'] });
    await seedSession(createSessionStore({ sealed: createPostgresStore(sql), ring }), deviceId, row?.epoch ?? 0, whatsapp.selfJid);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

export interface DeviceView {
  readonly state: string;
  readonly reason: string | null;
  readonly epoch: number;
  readonly node: string | null;
}
export async function deviceView(api: Api, device: string): Promise<DeviceView> {
  const answer = await ask<{ device: DeviceView | null }>(api, 'query ($id: ID!) { device(id: $id) { state reason epoch node } }', {
    id: device,
  });
  if (answer.device === null) throw new Error('the device is gone');
  return answer.device;
}
const epochOf = async (api: Api, device: string): Promise<number> => (await deviceView(api, device)).epoch;

/** `seen` gets every state on the way. */
export async function untilOnline(api: Api, device: string, aboveEpoch: number, seen: string[]): Promise<void> {
  let last: DeviceView | undefined;
  const end = clock.monotonic() + WAIT_MS;
  while (clock.monotonic() < end) {
    // a gateway that is being restarted does not answer
    last = await deviceView(api, device).catch(() => last);
    if (last !== undefined) seen.push(last.state);
    if (last?.state === 'ONLINE' && last.epoch > aboveEpoch) return;
    await clock.sleep(50);
  }
  throw new Error(`the device is not ONLINE after ${WAIT_MS / 1000} s: ${JSON.stringify(last)}`);
}

/** One message to SENT or further, and found under its own id at the server. */
async function send(api: Api, device: string, whatsapp: LocalWhatsapp, body: string): Promise<void> {
  const { sendMessage } = await ask<{
    sendMessage: { message: { id: string } | null; errors: readonly { code: string; message: string }[] };
  }>(
    api,
    'mutation ($device: ID!, $body: String!) { sendMessage(input: {deviceId: $device, to: "+14155550100", body: $body}) { message { id } errors { code message } } }',
    { device, body },
  );
  const message = sendMessage.message;
  if (message === null) throw new Error(`sendMessage: ${sendMessage.errors[0]?.code} ${sendMessage.errors[0]?.message}`);
  let state = '';
  const end = clock.monotonic() + WAIT_MS;
  while (!['SENT', 'DELIVERED', 'READ'].includes(state)) {
    if (clock.monotonic() > end) throw new Error(`the message is ${state} after ${WAIT_MS / 1000} s`);
    const answer = await ask<{ message: { state: string; cause: string | null } | null }>(
      api,
      'query ($id: ID!) { message(id: $id) { state cause } }',
      { id: message.id },
    );
    state = answer.message?.state ?? 'gone';
    if (['FAILED', 'DEAD', 'gone'].includes(state)) throw new Error(`the message ended ${state}: ${answer.message?.cause}`);
    await clock.sleep(20);
  }
  const wireId = whatsappIdOf(message.id.replace(/^.*:/, ''));
  const found = whatsapp.arrived.filter((arrived) => arrived.id === wireId);
  if (found.length !== 1 || found[0]?.text !== body) throw new Error(`the server has ${found.length} messages ${wireId} with that text`);
}
