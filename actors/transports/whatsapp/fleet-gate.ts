import { defineScript, type Redis } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { CONNECT_KEYS } from '../../../schema/domain/index.ts';

/**
 * Whether a device may connect now, said for the whole fleet: so many at once, and one at a time while WhatsApp refuses many alike (405: this client's
 * version, 503: the service is away), which no single device is to blame for. Two of them: in Redis (fleet-gate.lua, all nodes) and in memory (one node,
 * and what a node goes by while Redis does not answer). Called by device-connection.ts around every connect.
 *
 * G1. At most `places` connect at once; a place not given back is free after `placeLifeMs`.
 * G2. After `devices` different devices were refused within `windowMs` and nobody came through since: one tries at a time, every `probeMs`.
 * G3. A login lets all go again, as many at once as there are places.
 */
export interface FleetGate {
  /** GO takes a place until `ended` */
  ask(deviceId: string): Promise<GateAnswer>;
  /** the attempt is over; `how`: it logged in, the code it was refused with, null = anything else */
  ended(deviceId: string, how: 'opened' | number | null): Promise<void>;
}
/** `code`: what many were refused with; null = all places are taken */
export type GateAnswer = { readonly go: true } | { readonly go: false; readonly waitMs: number; readonly code: number | null };

export interface FleetGateOptions {
  readonly places: number;
  readonly placeLifeMs: number;
  readonly devices: number;
  readonly windowMs: number;
  readonly probeMs: number;
}

/** refusals that are nobody's own fault */
const SHARED: ReadonlySet<number> = new Set([405, 503]);
const NO_PLACE_MS = 200;

export function createMemoryGate(clock: Clock, log: Log, options: FleetGateOptions): FleetGate {
  const places = new Map<string, number>();
  const refused = new Map<string, number>();
  let open: { readonly code: number; nextProbe: number } | undefined;
  return {
    async ask(deviceId) {
      const now = clock.monotonic();
      if (open !== undefined) {
        if (now < open.nextProbe) return { go: false, waitMs: open.nextProbe - now, code: open.code };
        open.nextProbe = now + options.probeMs;
      }
      for (const [id, until] of places) if (until <= now) places.delete(id);
      if (places.size >= options.places && !places.has(deviceId)) return { go: false, waitMs: NO_PLACE_MS, code: null };
      places.set(deviceId, now + options.placeLifeMs);
      return { go: true };
    },
    async ended(deviceId, how) {
      places.delete(deviceId);
      if (how === 'opened') {
        refused.clear();
        if (open !== undefined) log.info('whatsapp.fleet.breaker.closed');
        open = undefined;
      }
      if (typeof how !== 'number' || !SHARED.has(how)) return;
      const now = clock.monotonic();
      refused.set(deviceId, now);
      for (const [id, at] of refused) if (now - at > options.windowMs) refused.delete(id);
      if (open !== undefined || refused.size < options.devices) return;
      open = { code: how, nextProbe: now + options.probeMs };
      log.error('whatsapp.fleet.breaker', { code: how, devices: refused.size });
    },
  };
}

const script = defineScript(readAsset(import.meta.url, './fleet-gate.lua'));

export function createRedisGate(
  deps: { readonly redis: Redis; readonly clock: Clock; readonly log: Log },
  options: FleetGateOptions,
): FleetGate {
  const { log } = deps;
  // while Redis does not answer each node holds its own back
  const own = createMemoryGate(deps.clock, log, options);
  const { places, placeLifeMs, devices, windowMs, probeMs } = options;
  const keys = [CONNECT_KEYS.places, CONNECT_KEYS.refused, CONNECT_KEYS.breaker];
  const run = async (verb: string, deviceId: string, how: string): Promise<readonly unknown[]> =>
    (await script.run(deps.redis, keys, [verb, deviceId, places, placeLifeMs, devices, windowMs, probeMs, how])) as readonly unknown[];
  return {
    async ask(deviceId) {
      try {
        const [said, waitMs, code] = await run('ask', deviceId, '');
        if (said === 'GO') return { go: true };
        return { go: false, waitMs: Number(waitMs), code: code === '' ? null : Number(code) };
      } catch (error) {
        log.warn('whatsapp.fleet.gate', {}, error);
        return own.ask(deviceId);
      }
    },
    async ended(deviceId, how) {
      const shared = how === 'opened' || (how !== null && SHARED.has(how));
      await own.ended(deviceId, how);
      try {
        const [, breaker] = await run('end', deviceId, shared ? String(how) : '');
        if (breaker === 'opened') log.error('whatsapp.fleet.breaker', { code: how, scope: 'fleet' });
        if (breaker === 'closed') log.info('whatsapp.fleet.breaker.closed', { scope: 'fleet' });
      } catch (error) {
        log.warn('whatsapp.fleet.gate', {}, error);
      }
    },
  };
}
