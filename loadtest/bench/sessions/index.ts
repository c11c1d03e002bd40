import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPostgres, connectRedis, redisReady } from '../../../ops/connect/index.ts';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import type { Figure, RunResult } from '../../../ops/report/index.ts';
import { type Stack, startStack } from '../../../ops/start/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import { createTenant } from '../../../schema/sql/index.ts';
import { percentile } from '../fanout/rig.ts';
import type { Bench } from '../main.ts';
import { startPhones } from './phones.ts';
import { storeTimes } from './store-times.ts';
import { allBack, answers, counts, exchange, pairDevices, presence, residentBytes, unknownOutcomes, until, type World } from './world.ts';

/**
 * Real WhatsApp sessions (Baileys) on one node against our WhatsApp-shaped server on loopback: what one costs in memory once it has exchanged messages
 * with ten peers that decrypt them, how fast a node with all of them starts, how fast another takes them over, whether a ratchet went back on
 * the way, and how fast the session store is. Node, Redis, Postgres (with fsync) and the phones are processes of their own on this machine.
 *
 * Resident memory is what /proc says of the node's process, ten seconds after the last message, nothing collected by hand. Not measured: a
 * network, WhatsApp's own servers, history (off), gateways.
 */
const SESSIONS = 300;
const ROUNDS = 10;
const SETTLE_MS = 10_000;
/** a machine that plays phones and node at once may be late; a lost lease is not what is measured */
const PATIENT = { LEASE_TTL_MS: '30000', LEASE_RENEW_MS: '5000' };
const TARGETS = {
  firstQrWorstMs: 2000,
  rssPerSessionMb: 5,
  coldStartMs: 60_000,
  handoverMs: 15_000,
  ratchetRegressions: 0,
  doubled: 0,
  setP99Ms: 3,
  readP99Ms: 2,
} as const;

export const sessions: Bench = async (say, parts) => {
  const at = parts.indexOf('devices');
  const count = at === -1 ? SESSIONS : Number(parts[at + 1]);
  if (!Number.isInteger(count) || count < 2) throw new Error('--devices: expected a whole number from 2');
  const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const phones = await startPhones();
  let stack: Stack | undefined;
  try {
    const env = { WHATSAPP_URL: phones.url, WHATSAPP_FORBID_REAL: 'true', PACING: 'off', SEND_TIMEOUT_MS: '60000', ...PATIENT };
    stack = await startStack({ dataDir, nodes: 1, gateways: 0, phones: false, durable: true, env });
    const sql = connectPostgres(stack.databaseUrl, { applicationName: 'bench', max: 4 });
    const redis = connectRedis(stack.redisUrl, { role: 'general', name: 'bench' });
    await redisReady(redis);
    const world: World = { stack, sql, redis, phones, tenantId: uuidV7(clock.wall()), ids: [], firstQrMs: [], say };
    await createTenant(sql, { id: world.tenantId, name: 'bench' });
    const figures = { sessions: count, ...(await memory(world, count)), ...(await moves(world)), ...(await ends(world)) };
    await Promise.all(stack.nodes.map((node) => node.kill('SIGTERM')));
    await until('nodes to end', async () => ({ done: world.stack.nodes.every((node) => !node.running()), progress: 0 }));
    say('the store is timed');
    const times = await storeTimes(stack.databaseUrl, dataDir, world.ids);
    redis.disconnect();
    await sql.end({ timeout: 2 });
    return judge({ ...figures, ...times });
  } finally {
    phones.close();
    await stack?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};

/** One session that has done its work, then all of them: the difference is what a session costs. */
async function memory(world: World, count: number): Promise<Record<string, Figure>> {
  const node = world.stack.nodes[0];
  if (node === undefined) throw new Error('no node');
  await pairDevices(world, 1);
  await exchange(world, [0], ROUNDS);
  await answers(world, [0]);
  await clock.sleep(SETTLE_MS);
  const one = residentBytes(node.pid);
  world.say(`1 session: ${Math.round(one / 1e6)} MB resident`);
  const began = clock.monotonic();
  await pairDevices(world, count);
  const pairedMs = clock.monotonic() - began;
  world.say(`${count} devices paired by QR code after ${Math.round(pairedMs / 1000)} s: ${Math.round(residentBytes(node.pid) / 1e6)} MB`);
  const others = world.ids.map((_, index) => index).slice(1);
  const ms = await exchange(world, others, ROUNDS);
  await answers(world, others);
  await clock.sleep(SETTLE_MS);
  const all = residentBytes(node.pid);
  const messages = others.length * ROUNDS * 10;
  world.say(`${messages} messages, ${Math.round((messages / ms) * 1000)}/s; ${count} sessions: ${Math.round(all / 1e6)} MB resident`);
  return {
    rssAtOneMb: Math.round(one / 1e5) / 10,
    rssAtAllMb: Math.round(all / 1e5) / 10,
    rssPerSessionMb: Math.round((all - one) / (count - 1) / 1e4) / 100,
    firstQrP50Ms: Math.round(percentile(world.firstQrMs, 0.5)),
    firstQrWorstMs: Math.round(Math.max(...world.firstQrMs)),
    pairedPerSecond: Math.round(((count - 1) / pairedMs) * 1e5) / 100,
    messagesPerSecond: Math.round((messages / ms) * 1000),
  };
}

/** The node starts anew with all its sessions; then another takes all of them over. */
async function moves(world: World): Promise<Record<string, Figure>> {
  const { stack, sql, ids, say } = world;
  const node = stack.nodes[0];
  if (node === undefined) throw new Error('no node');
  node.kill('SIGTERM');
  await until('the node to end', async () => ({ done: !node.running(), progress: 0 }));
  const before = await presence(world);
  const started = clock.monotonic();
  await node.restart();
  const coldStartMs = await allBack(world, before, started);
  say(`cold start: all ${ids.length} are logged in ${coldStartMs} ms after the node's process was started`);
  const other = await stack.addNode();
  const owned = async (): Promise<number> => {
    const [row] = await sql.unsafe<{ n: number }[]>('select count(*)::int as n from ownership where node = $1', [other.id]);
    return row?.n ?? 0;
  };
  const early = await owned();
  const atMove = await presence(world);
  const moving = clock.monotonic();
  node.kill('SIGTERM');
  await until('the other node to own all', async () => {
    const [n, { online, logins }] = [await owned(), await presence(world)];
    return { done: n === ids.length && online === n && logins >= atMove.logins + n - early, progress: n + logins };
  });
  const handoverMs = Math.round(clock.monotonic() - moving);
  say(`handover: ${ids.length - early} sessions are logged in on the other node after ${handoverMs} ms`);
  return { coldStartMs, handoverMs, handedOver: ids.length - early };
}

/** Everybody writes to everybody once more: a ratchet that went back shows as a message that cannot be read. */
async function ends(world: World): Promise<Record<string, Figure>> {
  const devices = world.ids.map((_, index) => index);
  await exchange(world, devices, 1);
  await answers(world, devices);
  const { arrived, doubled, unreadable, askedAgain } = await counts(world);
  return { arrived, doubled, ratchetRegressions: unreadable + askedAgain, unknownOutcomes: await unknownOutcomes(world) };
}

function judge(figures: Readonly<Record<string, Figure>>): RunResult {
  const ok = Object.entries(TARGETS).every(([name, most]) => Number(figures[name]) <= most);
  const told = { ...figures, server: 'our WhatsApp-shaped server on loopback, in a process of its own, real Baileys' };
  return { name: 'sessions', ok, figures: told, targets: TARGETS, command: `npm run bench -- sessions --devices ${figures['sessions']}` };
}
