import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import type { Figure } from '../../../ops/report/index.ts';
import { uuidV7 } from '../../../schema/domain/index.ts';
import type { Bench } from '../main.ts';
import { usage } from '../usage.ts';
import { onLiveWorld, paced } from './world.ts';

/**
 * `npm run bench -- live`: 3,000 devices that all change each second, evenly spread, seen by 100 viewers that ask for what the wall asks for, with the
 * product's own tick. Each change carries the time at which it was due, so latency has no coordinated omission. Not measured: TLS, browsers,
 * several machines; the writer stands in the place of the nodes.
 */
const DEVICES = 3_000;
const VIEWERS = 100;
const WARM_MS = 5_000;
const MEASURE_MS = 20_000;

export const live: Bench = (say) =>
  onLiveWorld(1, async (world) => {
    const [gateway] = world.gateways;
    if (gateway === undefined) throw new Error('no gateway');
    const devices = Array.from({ length: DEVICES }, (_, n) => ({ id: uuidV7(clock.wall()), name: `device ${n}` }));
    const states = ['ONLINE', 'SENDING', 'THROTTLED'] as const;
    let next = 0;
    const stop = paced(DEVICES, (count, firstAt) => {
      for (let n = 0; n < count; n++, next++) {
        const device = devices[next % DEVICES];
        if (device === undefined) continue;
        const version = Math.floor(next / DEVICES) + 1;
        const at = Math.round(firstAt + (n * 1000) / DEVICES);
        world.live.device(world.tenantId, {
          ...device,
          state: states[version % 3] ?? 'ONLINE',
          reason: String(at),
          node: null,
          epoch: 1,
          version,
          transport: 'simulator',
          at,
        });
      }
    });
    const url = `${gateway.url.replace('http', 'ws')}/graphql`;
    const key = world.stack.adminKey;
    await world.order('live', { kind: 'connect', url, key, sockets: VIEWERS, atOnce: VIEWERS, events: false, fleetEvery: 1 });
    say(`${VIEWERS} viewers`);
    await clock.sleep(WARM_MS);
    await world.order('figures', { kind: 'figures' });
    const [began, before] = [clock.monotonic(), usage(gateway.pid)];
    const changedBefore = next;
    await clock.sleep(MEASURE_MS);
    const after = usage(gateway.pid);
    const tookMs = clock.monotonic() - began;
    const changed = next - changedBefore;
    const seen = await world.order('figures', { kind: 'figures' });
    stop();
    const figures: Record<string, Figure> = {
      devices: DEVICES,
      viewers: VIEWERS,
      changes_per_second: Math.round(changed / (tookMs / 1000)),
      frames_per_second: Math.round(seen.frames / (tookMs / 1000)),
      mb_per_second: Math.round(seen.bytes / 1e4 / (tookMs / 1000)) / 100,
      gateway_cpu_percent: Math.round(((after.cpuMs - before.cpuMs) / tookMs) * 1000) / 10,
      gateway_rss_mb: Math.round(after.rss / 1e6),
      change_to_frame_ms_p50: seen.latency.p50,
      change_to_frame_ms_p99: seen.latency.p99,
      change_to_frame_ms_max: seen.latency.max,
      changes_seen_by_each_sampled_viewer: seen.latency.count / Math.ceil(VIEWERS / 10),
      snapshots_after_the_first: seen.snapshots,
      gaps: seen.gaps,
      duplicates: seen.duplicates,
    };
    const most: Record<string, number> = { gateway_cpu_percent: 25, change_to_frame_ms_p99: 250, gaps: 0, duplicates: 0 };
    const least: Record<string, number> = { changes_per_second: DEVICES * 0.95 };
    const ok =
      Object.entries(most).every(([name, bound]) => Number(figures[name]) <= bound) &&
      Object.entries(least).every(([name, bound]) => Number(figures[name]) >= bound);
    const targets = Object.fromEntries([
      ...Object.entries(most).map(([name, bound]) => [name, `<=${bound}`]),
      ...Object.entries(least).map(([name, bound]) => [name, `>=${bound}`]),
    ]);
    return { name: 'live', ok, figures, targets };
  });
