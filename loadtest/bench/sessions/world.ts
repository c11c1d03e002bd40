import { readFileSync } from 'node:fs';
import { createEnqueuer } from '../../../actors/mailbox/index.ts';
import { hashOf } from '../../../gateway/auth/index.ts';
import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import type { Stack } from '../../../ops/start/index.ts';
import { createTelemetry } from '../../../ops/telemetry/index.ts';
import { PAIRING_ASKED_CHANNEL, type PairingRecord, pairingKey, uuidV7 } from '../../../schema/domain/index.ts';
import { accept, createDevices, requestPairing } from '../../../schema/sql/index.ts';
import type { Phones } from './phones.ts';
import type { Counts } from './phones-main.ts';

/** What the sessions bench works on: a stack, the phones' process, and the devices made so far. */
export interface World {
  readonly stack: Stack;
  readonly sql: Sql;
  readonly redis: Redis;
  readonly phones: Phones;
  readonly tenantId: string;
  readonly ids: string[];
  /** of each pairing: ms from the request to its first QR code, as seen by looking every `LOOK_SHARPLY_MS` */
  readonly firstQrMs: number[];
  say(line: string): void;
}

const PEERS = 10;
const PAIR_AT_ONCE = 10;
const ACCEPT_AT_ONCE = 30;
/** how long a stage may make no progress at all: longer than an unknown outcome waits */
const STUCK_MS = 300_000;
const LOOK_MS = 200;
/** where counting takes the phones long */
const LOOK_SELDOM_MS = 2000;
/** where a time is taken of it */
const LOOK_SHARPLY_MS = 20;
const telemetry = createTelemetry({ service: 'test', instance: 'bench', level: 'error', samplePercent: 0, write: () => {} });

/** E.164 of the device with this number, and of each of its ten peers: nobody is a peer of two. */
export const phoneOf = (device: number): string => `+4915${String(10_000_000 + device)}`;
export const peersOf = (device: number): readonly string[] =>
  Array.from({ length: PEERS }, (_, peer) => `+4916${String(10_000_000 + device * PEERS + peer)}`);

export async function counts(world: World): Promise<Counts> {
  const devices = world.ids.map((_, index) => index);
  return world.phones.counts(devices.map(phoneOf), devices.flatMap(peersOf));
}

/** Who is logged in: quickly counted, the rest is 0. */
export const presence = (world: World): Promise<Counts> => world.phones.counts([], []);

/** Polls until it holds. @throws when `progress` stands still */
export async function until(
  what: string,
  look: () => Promise<{ readonly done: boolean; readonly progress: number | string }>,
  everyMs = LOOK_MS,
): Promise<void> {
  let last: number | string = Number.NaN;
  let at = clock.monotonic();
  for (;;) {
    const { done, progress } = await look();
    if (done) return;
    if (progress !== last) at = clock.monotonic();
    last = progress;
    if (clock.monotonic() - at > STUCK_MS) throw new Error(`${what}: stands still at ${progress}`);
    await clock.sleep(everyMs);
  }
}

/** Makes devices until there are `count` and pairs each with its phone by QR code, as a person would. */
export async function pairDevices(world: World, count: number): Promise<void> {
  const { sql, redis, phones, tenantId, ids } = world;
  const from = ids.length;
  const made = Array.from({ length: count - from }, () => uuidV7(clock.wall()));
  await createDevices(
    sql,
    made.map((id) => ({ id, tenantId, name: id, transport: 'whatsapp' as const, paceMinMs: 0, paceMaxMs: 0 })),
  );
  ids.push(...made);
  const record = async (id: string): Promise<PairingRecord | null> => {
    const text = await redis.get(pairingKey(id));
    return text === null ? null : (JSON.parse(text) as PairingRecord);
  };
  const pair = async (index: number): Promise<void> => {
    const id = ids[index] ?? '';
    await requestPairing(sql, id, tenantId, { requestedAt: Math.floor(clock.wall()), method: 'qr', phone: null });
    await redis.publish(PAIRING_ASKED_CHANNEL, id);
    const asked = clock.monotonic();
    let qr = '';
    await until(
      `a QR code for device ${index}`,
      async () => {
        const event = (await record(id))?.event;
        if (event?.kind === 'end') throw new Error(`device ${index}: ${event.outcome}`);
        if (event?.kind === 'qr') qr = event.text;
        return { done: event?.kind === 'qr', progress: event?.kind ?? 'nothing' };
      },
      LOOK_SHARPLY_MS,
    );
    world.firstQrMs.push(clock.monotonic() - asked);
    await phones.scan(phoneOf(index), qr);
    await until(`device ${index} to be paired`, async () => {
      const event = (await record(id))?.event;
      if (event?.kind === 'end' && event.outcome !== 'PAIRED') throw new Error(`device ${index}: ${event.outcome}`);
      return { done: event?.kind === 'end', progress: event?.kind ?? 'nothing' };
    });
  };
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < count) await pair(next++);
  };
  await Promise.all(Array.from({ length: PAIR_AT_ONCE }, worker));
}

/**
 * Accepts `rounds` messages of each of these devices to each of its peers, and waits until the phones have decrypted them, or nothing is under way any more: an
 * outcome that stays unknown is counted by `unknownOutcomes`. @returns ms
 */
export async function exchange(world: World, devices: readonly number[], rounds: number): Promise<number> {
  const { sql, redis, tenantId, ids } = world;
  const enqueuer = createEnqueuer({ redis, telemetry }, { window: 50 });
  const began = clock.monotonic();
  const before = await counts(world);
  for (let round = 0; round < rounds; round++) {
    for (let first = 0; first < devices.length; first += ACCEPT_AT_ONCE) {
      const items = devices.slice(first, first + ACCEPT_AT_ONCE).flatMap((device) =>
        peersOf(device).map((recipient) => {
          const body = `${device} to ${recipient}, ${round} ${began}`;
          const id = uuidV7(clock.wall());
          const more = { lane: 'high' as const, idempotencyKey: null, contentHash: hashOf(body), scheduledAt: null, traceparent: null };
          return { id, tenantId, deviceId: ids[device] ?? '', recipient, body, ...more };
        }),
      );
      const outcomes = await accept(sql, items);
      const entries = outcomes.flatMap((outcome, index) => {
        const item = items[index];
        if (outcome.kind !== 'accepted' || outcome.seq === null || item === undefined) throw new Error(`not accepted: ${outcome.kind}`);
        return [{ deviceId: item.deviceId, lane: item.lane, seq: outcome.seq, messageId: item.id, traceparent: null }];
      });
      await enqueuer.enqueue(entries);
    }
  }
  const wanted = before.arrived + devices.length * PEERS * rounds;
  await until(
    'messages to phones',
    async () => {
      const { arrived } = await counts(world);
      const [row] = await sql<{ open: number }[]>`select count(*)::int as open from messages where ended_at is null`;
      return { done: arrived >= wanted || row?.open === 0, progress: arrived };
    },
    LOOK_SELDOM_MS,
  );
  return clock.monotonic() - began;
}

/** Each peer of these devices answers once; resolves when the devices have decrypted and confirmed it. */
export async function answers(world: World, devices: readonly number[]): Promise<void> {
  const before = await counts(world);
  for (const device of devices) for (const peer of peersOf(device)) await world.phones.say(peer, phoneOf(device), `answer of ${peer}`);
  const wanted = before.confirmed + devices.length * PEERS;
  await until(
    'answers to devices',
    async () => {
      const { confirmed } = await counts(world);
      return { done: confirmed >= wanted, progress: confirmed };
    },
    LOOK_SELDOM_MS,
  );
}

/** Messages whose outcome nobody could find out: 0 on a machine that has the time. */
export async function unknownOutcomes({ sql }: World): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from messages where state in ('DEAD', 'FAILED')`;
  return row?.n ?? 0;
}

/** Waits until `logins` more logins than `before` were seen and all devices are logged in. @returns ms since `began` */
export async function allBack(world: World, before: Counts, began: number): Promise<number> {
  const count = world.ids.length;
  await until('devices to be back', async () => {
    const { online, logins } = await presence(world);
    return { done: online === count && logins >= before.logins + count, progress: logins };
  });
  return Math.round(clock.monotonic() - began);
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}
