import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { systemClock as clock } from '../lifecycle/index.ts';
import { type Figure, finish } from '../report/index.ts';
import { type Compose, ensureEngine, findCompose, type Run } from './engine.ts';

/**
 * `npm run compose:check`: really builds the images, brings docker-compose.yml up with three nodes, waits for health, sends one message to
 * DELIVERED through the port on loopback, and takes everything down again, whatever happened.
 */
const NODES = 3;
const root = process.cwd();
const dataDir = resolve(root, process.env['DATA_DIR'] ?? '.data', 'docker');
const logFile = join(dataDir, 'check.log');
const jsonFile = process.argv.includes('--json') ? process.argv[process.argv.indexOf('--json') + 1] : undefined;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let dockerHost: string | undefined;

const run: Run = async (title, program, args, options = {}) => {
  const from = clock.monotonic();
  const log = openSync(logFile, 'a');
  const env = { ...process.env, ...(dockerHost === undefined ? {} : { DOCKER_HOST: dockerHost }), ...options.env };
  const code = await new Promise<number | null>((done, fail) => {
    spawn(program, args, { cwd: options.cwd ?? root, env, stdio: ['ignore', log, log] })
      .once('error', fail)
      .once('exit', done);
  });
  if (code !== 0)
    throw new Error(`${title}: ${program} ended with ${code}\n${readFileSync(logFile, 'utf8').split('\n').slice(-25).join('\n')}`);
  say(`${title} · ${((clock.monotonic() - from) / 1000).toFixed(1)} s`);
};

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer().once('error', fail);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

interface Answer {
  readonly data?: Record<string, never>;
  readonly errors?: readonly { readonly message: string }[];
}
async function ask<T>(url: string, key: string, query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(5_000),
  });
  const body = (await response.json()) as Answer;
  if (body.data === undefined) throw new Error(`the gateway answered ${response.status}: ${body.errors?.[0]?.message ?? 'nothing'}`);
  return body.data as T;
}

/** Asks again until `good` or the time is up; the last answer is returned either way. */
async function until<T>(seconds: number, look: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  const end = clock.monotonic() + seconds * 1000;
  for (;;) {
    const value = await look();
    if (good(value) || clock.monotonic() > end) return value;
    await clock.sleep(300);
  }
}

async function oneMessage(url: string, key: string): Promise<Record<string, Figure>> {
  const nodes = await until(
    30,
    async () =>
      (await ask<{ nodes: { id: string; state: string }[] }>(url, key, '{ nodes { id state } }')).nodes.filter(
        (node) => node.state === 'ACTIVE',
      ).length,
    (count) => count === NODES,
  );
  say(`${nodes} nodes are active`);
  const created = await ask<{ createDevice: { device: { id: string } | null; errors: { message: string }[] } }>(
    url,
    key,
    'mutation($input: CreateDeviceInput!) { createDevice(input: $input) { device { id } errors { message } } }',
    { input: { name: 'compose-check', transport: 'SIMULATOR', paceMinMs: 0, paceMaxMs: 0 } },
  );
  const device = created.createDevice.device;
  if (device === null) throw new Error(`createDevice: ${created.createDevice.errors[0]?.message}`);
  const from = clock.monotonic();
  const sent = await ask<{ sendMessage: { message: { id: string } | null; errors: { message: string }[] } }>(
    url,
    key,
    'mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { message } } }',
    { input: { deviceId: device.id, to: '+15550100001', body: 'from the containers' } },
  );
  const message = sent.sendMessage.message;
  if (message === null) throw new Error(`sendMessage: ${sent.sendMessage.errors[0]?.message}`);
  const state = await until(
    30,
    async () =>
      (await ask<{ message: { state: string } }>(url, key, 'query($id: ID!) { message(id: $id) { state } }', { id: message.id })).message
        .state,
    (value) => value === 'DELIVERED' || value === 'READ',
  );
  say(`the message is ${state} · ${((clock.monotonic() - from) / 1000).toFixed(1)} s`);
  return { nodes, state, deliveredMs: Math.round(clock.monotonic() - from) };
}

async function main(): Promise<void> {
  mkdirSync(dataDir, { recursive: true });
  const engine = await ensureEngine(dataDir, clock, say);
  dockerHost = engine.host;
  const figures: Record<string, Figure> = {};
  let down: (() => Promise<void>) | undefined;
  let failure: string | undefined;
  try {
    await run('base images', 'bash', [join(root, 'ops/docker/base-images.sh'), 'node:24-trixie-slim', 'redis:8.0', 'postgres:17']);
    const compose: Compose = await findCompose(join(root, 'ops/docker/compose'), dataDir, run);
    await run(
      'image flotilla:local',
      'docker',
      ['build', '--network', 'host', '-t', 'flotilla:local', '-f', 'ops/docker/Dockerfile', '.'],
      { env: { DOCKER_BUILDKIT: '0' } },
    );
    const port = await freePort();
    const key = randomBytes(24).toString('base64url');
    const env = {
      POSTGRES_PASSWORD: randomBytes(16).toString('hex'),
      ADMIN_API_KEY: key,
      SESSION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
      PORT: String(port),
      PACING: 'off',
      COMPOSE_PROJECT_NAME: `flotilla-check-${process.pid}`,
    };
    const call = (title: string, ...args: readonly string[]): Promise<void> =>
      run(title, compose.program, [...compose.before, '-f', join(root, 'docker-compose.yml'), ...args], { env });
    down = () => call('down', 'down', '--volumes', '--timeout', '15');
    await call(
      `up with ${NODES} nodes, healthy`,
      'up',
      '--detach',
      '--no-build',
      '--wait',
      '--wait-timeout',
      '180',
      '--scale',
      `node=${NODES}`,
    );
    Object.assign(figures, await oneMessage(`http://127.0.0.1:${port}`, key));
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    say(failure);
  }
  if (down !== undefined) await down().catch((error: unknown) => say(String(error)));
  await engine.stop();
  const ok = failure === undefined && figures['nodes'] === NODES && (figures['state'] === 'DELIVERED' || figures['state'] === 'READ');
  finish(
    { name: 'compose-check', ok, figures, targets: { nodes: NODES, state: 'DELIVERED' } },
    { write: (text) => void process.stdout.write(text), jsonFile },
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
