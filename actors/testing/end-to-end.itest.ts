import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { type Stack, startStack } from '../../ops/start/index.ts';
import { startTraceReceiver, type TraceReceiver } from '../../ops/telemetry/index.ts';

/**
 * The whole way of a message on real parts: one gateway, two node processes, Redis, Postgres, simulated phones. Everything here goes
 * over the wire, as an integrator's program would.
 */
const DEVICES = 20;

interface Answer<T> {
  readonly data?: T;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

describe('a message, end to end', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-e2e-'));
  let stack: Stack;
  let receiver: TraceReceiver;

  const ask = async <T>(query: string, variables: Record<string, unknown> = {}): Promise<Answer<T>> => {
    const response = await fetch(`${stack.gateways[0]?.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${stack.adminKey}` },
      body: JSON.stringify({ query, variables }),
    });
    return (await response.json()) as Answer<T>;
  };
  const get = async <T>(query: string, variables: Record<string, unknown> = {}): Promise<T> => {
    const answer = await ask<T>(query, variables);
    if (answer.data === undefined) throw new Error(JSON.stringify(answer.errors));
    return answer.data;
  };
  const until = async <T>(look: () => Promise<T>, good: (value: T) => boolean, seconds = 60): Promise<T> => {
    const end = clock.monotonic() + seconds * 1000;
    for (;;) {
      const value = await look();
      if (good(value) || clock.monotonic() > end) return value;
      await clock.sleep(100);
    }
  };
  const SEND = `mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id state } errors { code message path } } }`;
  const send = async (input: Record<string, unknown>) =>
    (
      await get<{
        sendMessage: { message: { id: string; state: string } | null; errors: { code: string; message: string; path: string[] }[] };
      }>(SEND, { input })
    ).sendMessage;
  const devices = async () =>
    (
      await get<{ devices: { nodes: { id: string; node: string | null; epoch: number; state: string }[] } }>(
        '{ devices(first: 100) { nodes { id node epoch state } } }',
      )
    ).devices.nodes;

  beforeAll(async () => {
    receiver = await startTraceReceiver();
    stack = await startStack({
      dataDir,
      nodes: 2,
      gateways: 1,
      devices: DEVICES,
      durable: false,
      env: { PACING: 'off', OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint },
    });
  }, 180_000);
  afterAll(async () => {
    await stack?.stop();
    await receiver?.close();
    rmSync(dataDir, { recursive: true, force: true });
  }, 120_000);

  it('finds every device connected, spread over two nodes', async () => {
    const fleet = await until(
      async () => (await get<{ fleet: { devices: number; connected: number } }>('{ fleet { devices connected } }')).fleet,
      ({ connected }) => connected === DEVICES,
    );
    expect(fleet).toEqual({ devices: DEVICES, connected: DEVICES });
    const spread = await until(
      async () => new Set((await devices()).map((device) => device.node)),
      (nodes) => nodes.size === 2,
    );
    expect([...spread].sort()).toEqual(['node-1', 'node-2']);
  }, 180_000);

  it('is shown by messageEvents in order to DELIVERED, as one trace from the mutation to the effect', async () => {
    const [device] = await devices();
    const events: { messageId: string; state: string }[] = [];
    const client = createClient({
      url: `${stack.gateways[0]?.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      lazy: false,
      connectionParams: { authorization: `Bearer ${stack.adminKey}` },
    });
    const dispose = client.subscribe<{ messageEvents: { messageId: string; state: string } }>(
      { query: 'subscription($id: ID!) { messageEvents(deviceId: $id) { messageId state at } }', variables: { id: device?.id } },
      { next: ({ data }) => data && events.push(data.messageEvents), error: () => {}, complete: () => {} },
    );
    // nothing says that a subscription has begun: the first event of any message does
    for (let tries = 0; events.length === 0 && tries < 60; tries++) {
      await send({ deviceId: device?.id, to: '+15550100001', body: 'is anybody there?' });
      await until(
        async () => events.length,
        (count) => count > 0,
        1,
      );
    }
    const sent = await send({ deviceId: device?.id, to: '+15550100001', body: 'hello' });
    expect(sent.errors).toEqual([]);
    const states = await until(
      async () => events.filter((event) => event.messageId === sent.message?.id).map((event) => event.state),
      (seen) => seen.includes('DELIVERED'),
    );
    const order = ['QUEUED', 'SENDING', 'WRITTEN', 'SENT', 'DELIVERED', 'READ'];
    expect(states).toEqual([...states].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
    expect(states).toEqual(expect.arrayContaining(['SENT', 'DELIVERED']));
    dispose();
    await client.dispose();

    const wanted = ['accept', 'enqueue', 'intent', 'send', 'result'];
    const trace = await until(
      async () => {
        const byTrace = group(receiver.spans);
        return [...byTrace.values()].find((spans) => wanted.every((name) => spans.some((span) => span.name.includes(name)))) ?? [];
      },
      (spans) => spans.length > 0,
    );
    expect(trace.map((span) => span.name)).toEqual(expect.arrayContaining(wanted.map((name) => expect.stringContaining(name))));
    const ids = new Set(trace.map((span) => span.spanId));
    expect(trace.filter((span) => span.parentSpanId === '')).toHaveLength(1);
    for (const span of trace) if (span.parentSpanId !== '') expect(ids).toContain(span.parentSpanId);
  }, 120_000);

  it('answers a repeated idempotency key with the same message, and refuses the key for another content', async () => {
    const [device] = await devices();
    const input = { deviceId: device?.id, to: '+15550100002', body: 'once', idempotencyKey: 'order-1' };
    const first = await send(input);
    const second = await send(input);
    expect(second.message?.id).toBe(first.message?.id);
    const other = await send({ ...input, body: 'twice' });
    expect(other).toMatchObject({ message: null, errors: [{ code: 'IDEMPOTENCY_KEY_REUSED' }] });
  });

  it('keeps a message for a paused device, says why it is not sending, and sends it after resume', async () => {
    const device = (await devices())[1];
    const pause = await get<{ pauseDevice: { errors: unknown[] } }>(
      'mutation($id: ID!) { pauseDevice(input: { deviceId: $id, reason: "stocktaking" }) { errors { code } } }',
      { id: device?.id },
    );
    expect(pause.pauseDevice.errors).toEqual([]);
    const sent = await send({ deviceId: device?.id, to: '+15550100003', body: 'wait for it' });
    const look = async () =>
      (
        await get<{ message: { state: string; device: { state: string; sendability: { canSend: boolean } } } }>(
          'query($id: ID!) { message(id: $id) { state device { state sendability { canSend } } } }',
          { id: sent.message?.id },
        )
      ).message;
    await until(look, (message) => message.device.state === 'PAUSED');
    await clock.sleep(1000);
    expect(await look()).toMatchObject({ state: 'QUEUED', device: { state: 'PAUSED', sendability: { canSend: false } } });
    await get('mutation($id: ID!) { resumeDevice(input: { deviceId: $id }) { errors { code } } }', { id: device?.id });
    const after = await until(look, ({ state }) => state === 'SENT' || state === 'DELIVERED' || state === 'READ');
    expect(['SENT', 'DELIVERED', 'READ']).toContain(after.state);
  }, 180_000);

  it('hands all devices of a node over when it is asked to stop, without a message lost', async () => {
    const before = await devices();
    const leaving = before.filter((device) => device.node === 'node-1');
    expect(leaving.length).toBeGreaterThan(0);
    const ids: string[] = [];
    for (const device of leaving) ids.push((await send({ deviceId: device.id, to: '+15550100004', body: 'moving' })).message?.id ?? '');
    stack.nodes.find((node) => node.id === 'node-1')?.kill('SIGTERM');
    const after = await until(devices, (rows) => rows.every((row) => row.node === 'node-2' && row.state === 'ONLINE'));
    expect(after.map((row) => row.node)).toEqual(after.map(() => 'node-2'));
    for (const row of after) expect(row.epoch).toBeGreaterThanOrEqual(before.find((old) => old.id === row.id)?.epoch ?? 0);
    for (const id of ids) {
      const state = await until(
        async () => (await get<{ message: { state: string } }>('query($id: ID!) { message(id: $id) { state } }', { id })).message.state,
        (value) => ['SENT', 'DELIVERED', 'READ'].includes(value),
      );
      expect(['SENT', 'DELIVERED', 'READ']).toContain(state);
    }
  }, 300_000);
});

function group<T extends { readonly traceId: string }>(spans: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const span of spans) groups.set(span.traceId, [...(groups.get(span.traceId) ?? []), span]);
  return groups;
}
