import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import type { Figure } from '../../../ops/report/index.ts';
import { type MessageEventRecord, uuidV7 } from '../../../schema/domain/index.ts';
import type { Bench } from '../main.ts';
import { usage } from '../usage.ts';
import { type LiveWorld, onLiveWorld, paced } from './world.ts';

/**
 * `npm run bench -- resume`: 3,000 sockets come back within five seconds while events go on, twice: to a gateway that has never seen them, because theirs was
 * killed, and to the one they were cut from. Every reader says where it stood; every event has a place of its own, so a gap or a repeat shows.
 * Ours is judged alone: no peer can resume. Not measured: TLS, several machines.
 */
const SOCKETS = 3_000;
const EVENTS_PER_SECOND = 5;
const CHANGES_PER_SECOND = 20;
const FLEET_EVERY = 10;
const AT_ONCE = 200;
/** the clients come back spread over this much of the five seconds */
const OVER_MS = 4_000;
const ALL_LIVE_MS = 5_000;
const CATCH_UP_MS = 30_000;

/** Events and changes of devices that nobody owns, at a steady pace. */
function speak({ live, tenantId }: LiveWorld): () => Promise<void> {
  const devices = Array.from({ length: 300 }, () => uuidV7(clock.wall()));
  let next = 0;
  const events = paced(EVENTS_PER_SECOND, (count, firstAt) => {
    const made = Array.from(
      { length: count },
      (_, n): MessageEventRecord => ({
        messageId: uuidV7(clock.wall()),
        deviceId: devices[n % devices.length] ?? '',
        state: 'QUEUED',
        cause: null,
        attempts: 0,
        at: firstAt,
      }),
    );
    live.messages(tenantId, made);
  });
  const changes = paced(CHANGES_PER_SECOND, (count, firstAt) => {
    for (let n = 0; n < count; n++, next++) {
      const id = devices[next % devices.length] ?? '';
      const version = Math.floor(next / devices.length) + 1;
      const record = { id, name: id, state: 'ONLINE', reason: null, node: null, epoch: 1, version, transport: 'simulator' } as const;
      live.device(tenantId, { ...record, at: firstAt });
    }
  });
  return async () => {
    events();
    changes();
    await live.flush();
  };
}

async function storm(world: LiveWorld, at: number): Promise<Record<string, number>> {
  const gateway = world.gateways[at];
  if (gateway === undefined) throw new Error('no gateway');
  const before = usage(gateway.pid).cpuMs;
  const { ms, p50, p99 } = await world.order('live', {
    kind: 'storm',
    url: `${gateway.url.replace('http', 'ws')}/graphql`,
    overMs: OVER_MS,
  });
  return { all_live_ms: ms, dial_to_live_ms_p50: p50, dial_to_live_ms_p99: p99, cpu_ms: usage(gateway.pid).cpuMs - before };
}

/** Waits until every reader has the last event there is. */
async function caughtUp(
  world: LiveWorld,
): Promise<{ readonly gaps: number; readonly duplicates: number; readonly ended: number; missing: number }> {
  const sum = { gaps: 0, duplicates: 0, ended: 0, missing: Number.NaN };
  const last = await world.lastEvent();
  for (const until = clock.monotonic() + CATCH_UP_MS; ; await clock.sleep(200)) {
    const { gaps, duplicates, ended, lowest, highest } = await world.order('figures', { kind: 'figures' });
    sum.gaps += gaps;
    sum.duplicates += duplicates;
    sum.ended += ended;
    sum.missing = last - lowest + Math.max(0, highest - last);
    if (sum.missing === 0 || clock.monotonic() > until) return sum;
  }
}

export const resume: Bench = (say) =>
  onLiveWorld(2, async (world) => {
    const [first, second] = world.gateways;
    if (first === undefined || second === undefined) throw new Error('two gateways were asked for');
    const quiet = speak(world);
    const connected = await world.order('live', {
      kind: 'connect',
      url: `${first.url.replace('http', 'ws')}/graphql`,
      key: world.stack.adminKey,
      sockets: SOCKETS,
      atOnce: AT_ONCE,
      events: true,
      fleetEvery: FLEET_EVERY,
    });
    say(`${SOCKETS} sockets live after ${connected.ms} ms`);
    await clock.sleep(2_000);
    first.kill('SIGKILL');
    const killed = await storm(world, 1);
    say(`gateway killed: all live at the other one after ${killed['all_live_ms']} ms`);
    await clock.sleep(2_000);
    const cut = await storm(world, 1);
    say(`all cut: all live after ${cut['all_live_ms']} ms`);
    await clock.sleep(1_000);
    await quiet();
    const { gaps, duplicates, ended, missing } = await caughtUp(world);
    const named = (prefix: string, values: Record<string, number>): [string, number][] =>
      Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, value]);
    const figures: Record<string, Figure> = {
      sockets: SOCKETS,
      subscriptions: SOCKETS + SOCKETS / FLEET_EVERY,
      events: await world.lastEvent(),
      ...Object.fromEntries([...named('killed', killed), ...named('cut', cut)]),
      gaps,
      duplicates,
      operations_ended: ended,
      events_missing_at_the_end: missing,
      gateway_rss_mb: Math.round(usage(second.pid).rss / 1e6),
    };
    const most: Record<string, number> = {
      killed_all_live_ms: ALL_LIVE_MS,
      cut_all_live_ms: ALL_LIVE_MS,
      gaps: 0,
      duplicates: 0,
      operations_ended: 0,
      events_missing_at_the_end: 0,
    };
    const ok = Object.entries(most).every(([name, bound]) => Number(figures[name]) <= bound);
    return { name: 'resume', ok, figures, targets: Object.fromEntries(Object.entries(most).map(([name, bound]) => [name, `<=${bound}`])) };
  });
