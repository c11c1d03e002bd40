import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { systemClock as clock, createLifetime, type Lifetime } from '../../../ops/lifecycle/index.ts';
import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { type Api, ask, type Stack, type StackNode, startStack } from '../../../ops/start/index.ts';
import { whatsappIdOf } from '../../../schema/domain/index.ts';
import { startWhatsappServer, type WhatsappServer } from '../../transports/whatsapp/testing/index.ts';
import { judgeArrivals } from './arrivals.ts';
import { createDevice, deviceView, untilOnline } from './whatsapp-local.ts';

/**
 * The acceptance of real WhatsApp devices, on a server of our own on loopback with real Baileys: pair by QR code, send, ack, deliver, read,
 * a STOP that comes in, a restart of everything, a send without pairing again, a move to the other node, and nodes killed in the middle
 * of a send. WHATSAPP_FORBID_REAL=true in every process.
 *
 * Figures are times on this machine, against a server without a network in between; the times of people are not in them.
 */
const PHONE = '+491700000001';
const FRIEND = '+491700000002';
const STOPPER = '+491700000003';
const WAIT_MS = 90_000;

export interface AcceptanceOptions {
  /** how often a node is killed in the middle of a send */
  readonly kills: number;
  /** false: the figures in time are told, not judged (a loaded machine) */
  readonly judgeTimes: boolean;
  /**
   * `doubled`: a message whose outcome a kill left unknown is sent a second time, as a sender that trusts no ledger would. The run is right only
   * when the judge finds exactly that.
   */
  readonly plant?: 'doubled' | undefined;
}

const TARGETS = { firstQrMs: 2000, pairings: 1, doubled: 0, ratchetRegressions: 0, wrongOutcome: 0 } as const;

interface Story {
  readonly step: <T>(text: string, task: () => Promise<T>) => Promise<{ readonly result: T; readonly tookMs: number }>;
  readonly lifetime: Lifetime;
  readonly figures: Record<string, Figure>;
  readonly options: AcceptanceOptions;
}
interface Scene {
  readonly stack: Stack;
  readonly api: Api;
  readonly whatsapp: WhatsappServer;
  readonly device: string;
  /** a picture that anybody may fetch */
  readonly picture: { readonly url: string; readonly bytes: Buffer };
}

export async function runWhatsappPairing(
  write: (text: string) => void,
  options: AcceptanceOptions = { kills: 5, judgeTimes: true },
): Promise<RunResult> {
  const lifetime = createLifetime();
  const began = clock.monotonic();
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const figures: Record<string, Figure> = {};
  const step: Story['step'] = async (text, task) => {
    const start = clock.monotonic();
    const result = await task();
    const tookMs = Math.round(clock.monotonic() - start);
    write(`${seconds(clock.monotonic() - began).padStart(9)}  ${text} (${seconds(tookMs)})\n`);
    return { result, tookMs };
  };
  const targets = { ...TARGETS, doubled: options.plant === 'doubled' ? 1 : TARGETS.doubled };
  let ok = false;
  try {
    await tell({ step, lifetime, figures, options });
    ok =
      figures['pairings'] === TARGETS.pairings &&
      figures['doubled'] === targets.doubled &&
      figures['ratchetRegressions'] === 0 &&
      figures['wrongOutcome'] === 0 &&
      (!options.judgeTimes || Number(figures['firstQrMs']) <= TARGETS.firstQrMs);
  } catch (error) {
    figures['problem'] = error instanceof Error ? error.message : String(error);
    write(`failed: ${figures['problem']}\n`);
  } finally {
    await lifetime.end();
  }
  const command = [
    'npm run demo -- whatsapp-pairing --kills',
    options.kills,
    ...(options.plant === undefined ? [] : ['--plant', options.plant]),
  ];
  const told = { ...figures, server: 'our WhatsApp-shaped server on loopback, real Baileys' };
  return { name: 'whatsapp-pairing', ok, figures: told, targets, command: command.join(' ') };
}

async function tell(story: Story): Promise<void> {
  const { step, figures } = story;
  const scene = await open(story);
  const { stack, api, whatsapp, device } = scene;
  await pairByQr(story, scene);
  const friend = whatsapp.account(FRIEND);
  friend.manner = 'reads';
  figures['readMs'] = (await step('first message: QUEUED to READ', () => send(scene, FRIEND, 'hello from Flotilla', ['READ']))).tookMs;
  await step('a picture by URL: fetched, uploaded, opened by the phone; and an answer to it', () => pictures(scene));
  await step('a person writes STOP; a message to that person is suppressed', () => stopped(scene));

  await step('everything is stopped and started again: gateway, node, Redis, Postgres', async () => {
    const { epoch } = await deviceView(api, device);
    for (const one of [...stack.nodes, ...stack.gateways]) one.kill('SIGTERM');
    await stack.redis?.restart();
    await stack.postgres?.restart();
    await Promise.all(stack.gateways.map((one) => one.restart()));
    await Promise.all(stack.nodes.map((one) => one.restart()));
    await untilOnline(api, device, epoch, []);
  });
  await step('second message, without pairing again', () => send(scene, FRIEND, 'hello again', ['READ']));

  const { result: second } = await step('a second node starts', () => stack.addNode());
  const moved = await step('the device is moved to it and is ONLINE there', () => move(scene, second));
  figures['moveMs'] = moved.tookMs;
  await step('third message, from the other node', () => send(scene, FRIEND, 'hello from the other side', ['READ']));
  await killings(story, scene);
  figures['pairings'] = whatsapp.account(PHONE).companions.size;
  count(scene, figures);
}

async function open({ step, lifetime }: Story): Promise<Scene> {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-pairing-'));
  lifetime.add('data', () => rmSync(dataDir, { recursive: true, force: true }));
  const { result: whatsapp } = await step('a WhatsApp-shaped server of our own listens on loopback', () => startWhatsappServer());
  lifetime.add('whatsapp server', () => whatsapp.close());
  const picture = await servePicture(lifetime);
  const env = {
    WHATSAPP_URL: whatsapp.url,
    MEDIA_PRIVATE_HOSTS: new URL(picture.url).host,
    WHATSAPP_FORBID_REAL: 'true',
    // long enough for a takeover on a loaded machine: a receipt that comes later finds the message DEAD
    UNKNOWN_WAIT_MS: '30000',
    DATABASE_URL: undefined,
    REDIS_URL: undefined,
  };
  const { result: stack } = await step('a stack of its own is up: Redis, Postgres, one gateway, one node', () =>
    startStack({ dataDir, nodes: 1, gateways: 1, phones: false, durable: true, env }),
  );
  lifetime.add('stack', () => stack.stop());
  const api: Api = { url: stack.gateways[0]?.url ?? '', key: stack.adminKey };
  const { result: device } = await step('a WhatsApp device is made, its node owns it', async () => {
    const made = await createDevice(api);
    await until('UNPAIRED', async () => (await deviceView(api, made)).state === 'UNPAIRED');
    return made;
  });
  return { stack, api, whatsapp, device, picture };
}

async function pairByQr({ step, figures, lifetime }: Story, { api, whatsapp, device }: Scene): Promise<void> {
  const client = createClient({
    url: `${api.url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${api.key}` },
  });
  lifetime.add('subscription', () => client.dispose());
  const seen: { stage: string; qr: string | null; reason: string | null }[] = [];
  client.subscribe<{ pairing: (typeof seen)[number] }>(
    { query: 'subscription ($id: ID!) { pairing(deviceId: $id) { stage qr reason } }', variables: { id: device } },
    { next: ({ data }) => data != null && seen.push(data.pairing), error: () => {}, complete: () => {} },
  );
  await until('the subscription', async () => seen.length > 0);
  const first = await step('pairDevice; the first QR code is on the subscription `pairing`', async () => {
    const answer = await ask<{ pairDevice: { errors: readonly { code: string }[] } }>(
      api,
      'mutation ($id: ID!) { pairDevice(input: {deviceId: $id}) { errors { code } } }',
      { id: device },
    );
    const problem = answer.pairDevice.errors[0];
    if (problem !== undefined) throw new Error(`pairDevice: ${problem.code}`);
    await until('the QR code', async () => seen.at(-1)?.stage === 'QR');
  });
  figures['firstQrMs'] = first.tookMs;
  const done = await step('the phone scans it: signed identity, restart, PAIRED and ONLINE', async () => {
    await whatsapp.scan(PHONE, seen.at(-1)?.qr ?? '');
    await until('PAIRED', async () => seen.at(-1)?.stage === 'PAIRED');
    await untilOnline(api, device, 0, []);
  });
  figures['scanToOnlineMs'] = done.tookMs;
}

async function servePicture(lifetime: Lifetime): Promise<Scene['picture']> {
  const bytes = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(50_000, 7)]);
  const server = createServer((_request, response) => void response.writeHead(200, { 'content-type': 'image/jpeg' }).end(bytes));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lifetime.add('pictures', () => new Promise<void>((resolve) => void server.close(() => resolve())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/cat.jpg`, bytes };
}

async function pictures(scene: Scene): Promise<void> {
  const { whatsapp, picture } = scene;
  const sent = await submit(scene, FRIEND, 'a picture', { image: { url: picture.url } });
  if (sent.id === null || (await ended(scene, sent.id, ['READ'])) !== 'READ') throw new Error(`the picture was not read: ${sent.code}`);
  const wireId = (id: string): string => whatsappIdOf(id.replace(/^.*:/, ''));
  const found = whatsapp.account(FRIEND).arrived.find(({ id }) => id === wireId(sent.id ?? ''));
  const opened = await whatsapp.media.open(found?.message ?? {});
  if (!opened.equals(picture.bytes)) throw new Error('the phone has opened another picture');
  const answer = await submit(scene, FRIEND, 'do you like it?', { replyTo: sent.id });
  if (answer.id === null || (await ended(scene, answer.id, ['READ'])) !== 'READ')
    throw new Error(`the answer was not read: ${answer.code}`);
  const quoting = whatsapp.account(FRIEND).arrived.find(({ id }) => id === wireId(answer.id ?? ''));
  if (quoting?.message.extendedTextMessage?.contextInfo?.stanzaId !== wireId(sent.id))
    throw new Error('the answer does not name the picture');
}

async function stopped(scene: Scene): Promise<void> {
  await scene.whatsapp.say(STOPPER, PHONE, 'STOP');
  const at = clock.monotonic();
  for (;;) {
    const answer = await submit(scene, STOPPER, 'will not come');
    if (answer.code === 'RECIPIENT_SUPPRESSED') return;
    if (answer.id !== null && (await ended(scene, answer.id, ['SUPPRESSED', 'SENT', 'DELIVERED', 'READ'])) === 'SUPPRESSED') return;
    if (clock.monotonic() - at > WAIT_MS) throw new Error('STOP did not suppress');
  }
}

async function move({ api, device }: Scene, to: StackNode): Promise<void> {
  const { epoch } = await deviceView(api, device);
  // a node that has just started is known to the gateway with its first beat
  await until('the move', async () => {
    const { moveDevice } = await ask<{ moveDevice: { errors: readonly { code: string }[] } }>(
      api,
      'mutation ($device: ID!, $node: ID!) { moveDevice(input: {deviceId: $device, nodeId: $node}) { errors { code } } }',
      { device, node: to.id },
    );
    return moveDevice.errors.length === 0;
  });
  await untilOnline(api, device, epoch, []);
}

/** The owner is killed while the server holds its message: now it has arrived and the ack is lost, now it has not. */
async function killings({ step, figures, options }: Story, scene: Scene): Promise<void> {
  const { whatsapp, api, device, stack } = scene;
  let wrong = 0;
  for (let round = 1; round <= options.kills; round++) {
    const arrives = round % 2 === 1;
    const { node, epoch } = await deviceView(api, device);
    const owner = stack.nodes.find(({ id }) => id === node);
    let killed = false;
    whatsapp.manners.answer = () => {
      if (killed) return { kind: 'ok' };
      killed = true;
      owner?.kill('SIGKILL');
      return { kind: arrives ? 'lost-ack' : 'silent' };
    };
    const what = arrives ? 'it has arrived' : 'it has not arrived';
    await step(`kill ${round}: ${node} dies while it sends (${what}); another takes over`, async () => {
      const { id } = await submit(scene, FRIEND, `kill ${round}`);
      // what arrived is proved by its receipt; of what did not nobody can know, and it is not sent twice by itself
      const outcome = await ended(scene, id ?? '', ['DELIVERED', 'READ', 'DEAD']);
      if ((outcome === 'DEAD') === arrives) wrong += 1;
      await untilOnline(api, device, epoch, []);
    });
    await step('a message after it', () => send(scene, FRIEND, `after kill ${round}`, ['DELIVERED', 'READ']));
    if (options.plant === 'doubled' && round === 1)
      await step('planted: the killed message is sent once more', () => send(scene, FRIEND, `kill ${round}`, ['DELIVERED', 'READ']));
    await owner?.restart();
  }
  figures['kills'] = options.kills;
  figures['wrongOutcome'] = wrong;
}

function count({ whatsapp }: Scene, figures: Record<string, Figure>): void {
  const { arrived, unreadable } = whatsapp.account(FRIEND);
  const askedAgain = whatsapp.account(PHONE).receiptsSent.filter(({ type }) => type === 'retry').length;
  Object.assign(figures, judgeArrivals({ arrived, unreadable, askedAgain }));
}

interface Submitted {
  readonly id: string | null;
  readonly code: string | null;
}
async function submit({ api, device }: Scene, to: string, body: string, content: object | null = null): Promise<Submitted> {
  const { sendMessage } = await ask<{ sendMessage: { message: { id: string } | null; errors: readonly { code: string }[] } }>(
    api,
    'mutation ($device: ID!, $to: String!, $body: String!, $content: MessageContentInput) { sendMessage(input: {deviceId: $device, to: $to, body: $body, content: $content}) { message { id } errors { code } } }',
    { device, to, body, content },
  );
  return { id: sendMessage.message?.id ?? null, code: sendMessage.errors[0]?.code ?? null };
}

/** Waits for one of the states; others that nothing follows end it too. */
async function ended({ api }: Scene, id: string, states: readonly string[]): Promise<string> {
  let last = '';
  await until(`a message to be ${states.join(' or ')}`, async () => {
    const answer = await ask<{ message: { state: string } | null }>(api, 'query ($id: ID!) { message(id: $id) { state } }', { id });
    last = answer.message?.state ?? 'gone';
    return states.includes(last) || ['FAILED', 'DEAD', 'CANCELLED', 'gone'].includes(last);
  });
  return last;
}

async function send(scene: Scene, to: string, body: string, states: readonly string[]): Promise<void> {
  const { id, code } = await submit(scene, to, body);
  if (id === null) throw new Error(`sendMessage: ${code}`);
  const state = await ended(scene, id, states);
  if (!states.includes(state)) throw new Error(`the message ended ${state}`);
  const wireId = whatsappIdOf(id.replace(/^.*:/, ''));
  const found = scene.whatsapp.account(to).arrived.filter((arrived) => arrived.id === wireId);
  if (found[0]?.text !== body) throw new Error(`the phone has not got "${body}"`);
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const end = clock.monotonic() + WAIT_MS;
  for (;;) {
    if (await check().catch(() => false)) return;
    if (clock.monotonic() > end) throw new Error(`waited ${WAIT_MS / 1000} s for: ${what}`);
    await clock.sleep(20);
  }
}
