import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { type TransportPeer, transportConformance } from '../conformance.ts';
import type { SendOutcome, TransportDevice } from '../port.ts';
import { type Arrival, controlPhones, createPhones, createSimulatorTransport } from './index.ts';

const telemetry = createTelemetry({ service: 'test', instance: 'test', level: 'error', samplePercent: 0 });
const deps = { clock: systemClock, telemetry };
const folder = (): string => mkdtempSync(join(tmpdir(), 'phones-'));
const readArrivals = (path: string): Arrival[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.length > 0)
    .map((line) => JSON.parse(line) as Arrival);

async function startPeer(): Promise<TransportPeer> {
  const home = folder();
  const file = join(home, 'arrivals.ndjson');
  const phones = await createPhones(deps, {
    port: 0,
    seed: 3,
    arrivals: file,
    latencyMs: [1, 8],
    receipts: true,
    repliesPercent: 0,
    inboundRepeatMs: 700,
  });
  const url = `tcp://127.0.0.1:${phones.port}`;
  const control = await controlPhones(url);
  return {
    transport: createSimulatorTransport({ ...deps, url }, { backoffMs: [100, 300] }),
    async arrivals(id) {
      await control.figures();
      return readArrivals(file).filter((arrival) => arrival.id === id).length;
    },
    refuseNext: async (device) => void (await control.fault({ kind: 'reject', device, count: 1 })),
    muteNext: async (device) => void (await control.fault({ kind: 'lost-ack', device, count: 1 })),
    drop: async (device) => void (await control.dropNow(device)),
    restore: () => Promise.resolve(),
    say: async (device, from, body) => void (await control.say(device, from, body)),
    prepare: () => Promise.resolve(),
    async close() {
      control.close();
      await phones.close();
      rmSync(home, { recursive: true });
    },
  };
}

transportConformance('simulator', startPeer, { inbound: true });

describe('phones as the oracle', () => {
  const releases: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const release of releases.splice(0).reverse()) await release();
  });
  const setUp = async (canAct: () => boolean = () => true) => {
    const home = folder();
    releases.push(() => rmSync(home, { recursive: true }));
    const file = join(home, 'arrivals.ndjson');
    const phones = await createPhones(deps, { port: 0, seed: 9, arrivals: file, latencyMs: [0, 2], receipts: true, repliesPercent: 0 });
    releases.push(() => phones.close());
    const url = `tcp://127.0.0.1:${phones.port}`;
    const control = await controlPhones(url);
    releases.push(() => control.close());
    const join_ = async (epoch: number, node: string, id: string) => {
      const transport = createSimulatorTransport({ ...deps, url }, { backoffMs: [50, 100] });
      releases.push(() => transport.close());
      const states: string[] = [];
      const receipts: string[] = [];
      const device: TransportDevice = { id, tenantId: id, epoch, node, phone: null, settings: {}, canAct };
      const connection = transport.connect(
        device,
        {
          state: ({ state }) => void states.push(state),
          receipt: ({ state }) => void receipts.push(state),
          inbound: () => Promise.resolve(),
        },
        new AbortController().signal,
      );
      while (states.at(-1) !== 'ONLINE') await systemClock.sleep(2);
      return { connection, states, receipts };
    };
    return { file, phones, control, join: join_ };
  };
  const id = (): string => uuidV7(systemClock.wall());
  const message = (ledger: string, attempt = 1) => ({ id: ledger, attempt, to: '+14155550100', body: 'x' });

  it('sees a replaced owner, marks the repeat, and sends receipts to the newest connection', async () => {
    const { file, control, join } = await setUp();
    const device = id();
    const old = await join(1, 'node-1', device);
    const fresh = await join(2, 'node-2', device);
    const ledger = id();
    expect((await fresh.connection.send(message(ledger), 30_000)).kind).toBe('sent');
    expect((await old.connection.send(message(ledger, 2), 30_000)).kind).toBe('sent');
    await control.figures();
    expect(readArrivals(file).map(({ epoch, node, repeat, attempt }) => ({ epoch, node, repeat, attempt }))).toEqual([
      { epoch: 2, node: 'node-2', repeat: false, attempt: 1 },
      { epoch: 1, node: 'node-1', repeat: true, attempt: 2 },
    ]);
    while (fresh.receipts.length < 2) await systemClock.sleep(2);
    expect(old.receipts).toEqual([]);
  });

  it('has every acknowledged message in the file, over dropped connections too', async () => {
    const { file, control, join } = await setUp();
    const owner = await join(1, 'node-1', id());
    const outcomes = new Map<string, SendOutcome>();
    for (let round = 0; round < 4; round++) {
      if (round === 2) await control.fault({ kind: 'drop', count: 1 });
      const batch = Array.from({ length: 50 }, id);
      await Promise.all(batch.map(async (ledger) => outcomes.set(ledger, await owner.connection.send(message(ledger), 1000))));
      while (owner.states.at(-1) !== 'ONLINE') await systemClock.sleep(2);
    }
    await control.figures();
    const arrived = new Set(readArrivals(file).map((arrival) => arrival.id));
    const kinds = [...outcomes.values()].map((outcome) => outcome.kind);
    expect(kinds.filter((kind) => kind === 'unknown').length).toBeGreaterThan(0);
    for (const [ledger, outcome] of outcomes) {
      if (outcome.kind === 'sent') expect(arrived.has(ledger)).toBe(true);
      if (outcome.kind === 'not-sent') expect(arrived.has(ledger)).toBe(false);
    }
  });

  it('asks canAct again when the bytes are handed over: what was queued in time but may no longer go stays here', async () => {
    let allowed = true;
    const { file, control, join } = await setUp(() => allowed);
    const owner = await join(1, 'node-1', id());
    const ledger = id();
    const outcome = owner.connection.send(message(ledger), 1000);
    allowed = false;
    expect(await outcome).toEqual({ kind: 'not-sent', code: 'FENCED' });
    await control.figures();
    expect(readArrivals(file)).toEqual([]);
  });

  it('a device that is never answered stays away until the fault is cleared', async () => {
    const { control, phones } = await setUp();
    const device = id();
    await control.fault({ kind: 'never-connect', device });
    const transport = createSimulatorTransport(
      { ...deps, url: `tcp://127.0.0.1:${phones.port}` },
      { connectTimeoutMs: 500, backoffMs: [20, 40] },
    );
    releases.push(() => transport.close());
    const states: string[] = [];
    const owned: TransportDevice = {
      id: device,
      tenantId: device,
      epoch: 1,
      node: 'node-1',
      phone: null,
      settings: {},
      canAct: () => true,
    };
    transport.connect(
      owned,
      { state: ({ state, reason }) => void states.push(`${state} ${reason ?? ''}`), receipt() {}, inbound: () => Promise.resolve() },
      new AbortController().signal,
    );
    while (!states.includes('OFFLINE CONNECT_TIMEOUT')) await systemClock.sleep(5);
    expect(states).not.toContain('ONLINE ');
    await control.clear();
    while (states.at(-1) !== 'ONLINE ') await systemClock.sleep(5);
  });
});
