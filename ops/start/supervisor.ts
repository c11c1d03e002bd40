import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig } from '../config/index.ts';
import { type Clock, systemClock, systemDice } from '../lifecycle/index.ts';
import type { StartArguments } from './arguments.ts';
import { ensureDevices } from './demo-devices.ts';
import { type DemoTraffic, startDemoTraffic } from './demo-traffic.ts';
import { startTime, tryLock } from './lock.mjs';
import { freePort } from './ports.ts';
import { ensureScreenKey } from './screen-key.ts';
import { createStack, type StartingStack } from './stack.ts';
import { addressBox, createTerminal, type Output } from './terminal.ts';

/** What a person must be told, without a stack. */
export class StartProblem extends Error {}

export interface Supervisor {
  /** starts everything and shows the addresses; resolves when it is up */
  start(): Promise<void>;
  /** stops everything in order; idempotent */
  stop(): Promise<void>;
}

const DEFAULT_PORT = 4000;

/** The port asked for must be free; nobody asked for 4000, so another one is taken when it is not. */
async function choosePort(asked: number | undefined): Promise<{ port: number; instead: boolean }> {
  const wanted = asked ?? DEFAULT_PORT;
  if (wanted === 0) return { port: await freePort(), instead: false };
  const port = await freePort(wanted);
  if (port === wanted) return { port, instead: false };
  if (asked !== undefined) throw new StartProblem(`port ${asked} of 127.0.0.1 is taken by another process: choose one with --port N`);
  return { port, instead: true };
}

function lockData(dataDir: string): () => void {
  const path = join(dataDir, 'supervisor.lock');
  const other = tryLock(path);
  if (other !== undefined) {
    throw new StartProblem(`another Flotilla runs on ${dataDir} (pid ${other}): stop it, or set DATA_DIR for a second one`);
  }
  return () => {
    if (readFileSync(path, 'utf8').startsWith(`${process.pid} ${startTime(process.pid)}`)) rmSync(path, { force: true });
  };
}

/**
 * `npm start`: a stack that is kept running, with demo devices and traffic. Owns the data folder's lock, the stack and the demo.
 * @throws ConfigError on a wrong environment, before anything is started
 */
export function createSupervisor(
  args: StartArguments,
  env: Readonly<Record<string, string | undefined>>,
  output: Output,
  clock: Clock = systemClock,
): Supervisor {
  const config = loadConfig(env);
  const dataDir = resolve(config.DATA_DIR);
  const clockText = (): string => new Date(clock.wall()).toISOString().slice(11, 19);
  const terminal = createTerminal(output, { quiet: args.quiet, now: () => clock.monotonic(), clockText });
  const began = clock.monotonic();
  let stack: StartingStack | undefined;
  let demo: DemoTraffic | undefined;
  /** undefined: the data folder belongs to another supervisor, or to nobody yet */
  let unlock: (() => void) | undefined;
  let stopping: Promise<void> | undefined;

  const startDemo = async (url: string, key: string): Promise<void> => {
    const api = { url, key };
    const stepBegan = clock.monotonic();
    const name = `${args.devices} simulated devices`;
    terminal.event({ type: 'step', name, state: 'begun', tookMs: 0 });
    const ids = await ensureDevices(api, args.devices);
    terminal.event({ type: 'step', name, state: 'done', tookMs: clock.monotonic() - stepBegan });
    if (stopping === undefined) demo = startDemoTraffic({ clock, dice: systemDice }, api, ids);
  };
  const start = async (): Promise<void> => {
    unlock = lockData(dataDir);
    const asked = args.port ?? (env['PORT'] === undefined || env['PORT'] === '' ? undefined : config.PORT);
    const { port, instead } = await choosePort(asked);
    if (instead) terminal.line(`  port ${DEFAULT_PORT} is taken: using ${port}`);
    stack = createStack({
      dataDir,
      nodes: args.nodes,
      gatewayPort: port,
      metricsPort: config.METRICS_PORT,
      env,
      restart: true,
      redisUrl: config.REDIS_URL,
      databaseUrl: config.DATABASE_URL,
      onEvent: (event) => terminal.event(event),
      clock,
    });
    const running = await stack.start();
    const gateway = running.gateways[0]?.url ?? '';
    // where `npm run pair` finds the stack that runs here
    const { databaseUrl, redisUrl } = running;
    writeFileSync(join(dataDir, 'stack.json'), `${JSON.stringify({ pid: process.pid, gateway, databaseUrl, redisUrl })}\n`, {
      mode: 0o600,
    });
    if (args.demo) await startDemo(gateway, running.adminKey);
    if (stopping !== undefined) return;
    const screenKey = await ensureScreenKey({ url: gateway, key: running.adminKey }, dataDir);
    terminal.line(
      addressBox({
        gateway,
        nodes: running.nodes,
        adminKey: running.adminKey,
        screenKey,
        keyFile: config.ADMIN_API_KEY === undefined ? join(dataDir, 'admin-key') : undefined,
        devices: args.devices,
        demo: args.demo,
        logDir: join(dataDir, 'logs'),
        tookMs: clock.monotonic() - began,
      }),
    );
  };
  const stop = async (): Promise<void> => {
    const stopBegan = clock.monotonic();
    // nothing was started here: another supervisor's stack is none of our business
    if (unlock === undefined) return;
    if (stack !== undefined) terminal.line('  stopping');
    await demo?.stop();
    await stack?.stop();
    rmSync(join(dataDir, 'stack.json'), { force: true });
    unlock();
    if (stack === undefined) return;
    terminal.line(`  everything is stopped (${((clock.monotonic() - stopBegan) / 1000).toFixed(1)} s)`);
  };
  return {
    start,
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}
