import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../ops/lifecycle/index.ts';
import {
  BELL,
  PAIRING_ASKED_CHANNEL,
  type PairingEvent,
  type PairingRecord,
  pairingChannel,
  partitionKeys,
  partitionOf,
  uuidV7,
} from '../../../schema/domain/index.ts';
import { createDevice, loadTenants, requestPairing } from '../../../schema/sql/index.ts';

/** A mistake of the caller or a missing part: told in one sentence, exit code 1. */
export class PairProblem extends Error {}

export interface PairDeps {
  readonly sql: Sql;
  /** role `general` */
  readonly redis: Redis;
  /** role `subscriber` */
  readonly subscriber: Redis;
  readonly clock: Clock;
  /** writes text as it is */
  readonly write: (text: string) => void;
  /** a terminal that understands carriage returns: the remaining life of a code is counted down */
  readonly live: boolean;
  /** the code as lines of text */
  readonly draw: (text: string) => string;
  /** keeps the code as a picture; without it none is made */
  readonly keepPng?: (text: string) => string;
}

export interface PairOptions {
  /** id or name */
  readonly device: string;
  readonly create: boolean;
  /** of a device that is created; may be left out when there is one tenant only */
  readonly tenant: string | undefined;
  /** E.164: a code to type on that phone is asked for instead of QR codes */
  readonly codeFor?: string | undefined;
  /** how long to wait until a node takes the request */
  readonly takenWithinMs?: number;
}

interface DeviceFound {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly transport: string;
  readonly paired: boolean;
  readonly phone: string | null;
  readonly node: string | null;
}

const findDevice = readAsset(import.meta.url, './find-device.sql');
const TAKEN_WITHIN_MS = 20_000;

/**
 * Links a phone: asks the node that owns the device to start a pairing and shows its QR codes until the phone has accepted one or they
 * have run out. @returns true when paired. @throws PairProblem
 */
export async function pair(deps: PairDeps, options: PairOptions): Promise<boolean> {
  const device = await deviceFor(deps, options);
  if (device.transport !== 'whatsapp')
    throw new PairProblem(`${device.name} is a ${device.transport} device: only WhatsApp devices are paired`);
  if (device.paired) {
    deps.write(
      `${device.name} is paired already${device.phone === null ? '' : ` (${device.phone})`}. To link another phone, unlink it there first.\n`,
    );
    return true;
  }
  const channel = pairingChannel(device.id);
  const events = listen(deps, channel);
  await deps.subscriber.subscribe(channel);
  try {
    const phone = options.codeFor ?? null;
    const request = { requestedAt: Math.floor(deps.clock.wall()), method: phone === null ? 'qr' : 'code', phone } as const;
    if ((await requestPairing(deps.sql, device.id, null, request)) === null) throw new PairProblem(`${device.name} is gone`);
    await deps.redis.publish(partitionKeys(partitionOf(device.id)).bell, `${BELL.changed}${device.id}`);
    await deps.redis.publish(PAIRING_ASKED_CHANNEL, device.id);
    deps.write(`${device.name} (${device.id}): asked ${device.node ?? 'its node'} to start a pairing\n`);
    return await show(deps, events, options.takenWithinMs ?? TAKEN_WITHIN_MS, device);
  } finally {
    events.stop();
    await deps.subscriber.unsubscribe(channel).catch(() => {});
  }
}

async function deviceFor(deps: PairDeps, options: PairOptions): Promise<DeviceFound> {
  const search = async (): Promise<readonly DeviceFound[]> =>
    deps.sql.unsafe<DeviceFound[]>(findDevice, [options.device], { prepare: true });
  let found = await search();
  if (options.tenant !== undefined) found = found.filter((device) => device.tenant === options.tenant);
  if (found.length === 0 && options.create) {
    await create(deps, options);
    found = await search();
  }
  const [device] = found;
  if (device === undefined) throw new PairProblem(`there is no device "${options.device}": check its name or id, or add --create`);
  if (found.length > 1) {
    throw new PairProblem(
      `several tenants have a device "${options.device}": name one by its id (${found.map(({ id, tenant }) => `${id} of ${tenant}`).join(', ')})`,
    );
  }
  return device;
}

async function create(deps: PairDeps, options: PairOptions): Promise<void> {
  const tenants = await loadTenants(deps.sql);
  const fitting = options.tenant === undefined ? tenants : tenants.filter((tenant) => tenant.name === options.tenant);
  const [tenant] = fitting;
  if (tenant === undefined)
    throw new PairProblem(options.tenant === undefined ? 'there is no tenant yet' : `there is no tenant "${options.tenant}"`);
  if (fitting.length > 1) throw new PairProblem(`say whose device it is: --tenant ${fitting.map(({ name }) => name).join(' | ')}`);
  if (options.device.length > 80) throw new PairProblem('a device name has at most 80 characters');
  await createDevice(deps.sql, { id: uuidV7(deps.clock.wall()), tenantId: tenant.id, name: options.device, transport: 'whatsapp' });
  deps.write(`made the WhatsApp device "${options.device}" of ${tenant.name}\n`);
}

interface Events {
  /** the next event, or undefined after `ms` */
  next(ms: number): Promise<PairingEvent | undefined>;
  stop(): void;
}

function listen(deps: PairDeps, channel: string): Events {
  const queue: PairingEvent[] = [];
  let wake = (): void => {};
  const onMessage = (from: string, text: string): void => {
    if (from !== channel) return;
    queue.push((JSON.parse(text) as PairingRecord).event);
    wake();
  };
  deps.subscriber.on('message', onMessage);
  return {
    async next(ms) {
      if (queue.length === 0) {
        await new Promise<void>((resolve) => {
          const cancel = deps.clock.after(ms, resolve);
          wake = () => {
            cancel();
            resolve();
          };
        });
      }
      return queue.shift();
    },
    stop: () => void deps.subscriber.off('message', onMessage),
  };
}

async function show(deps: PairDeps, events: Events, takenWithinMs: number, device: DeviceFound): Promise<boolean> {
  const began = deps.clock.monotonic();
  let taken = false;
  let until = 0;
  for (;;) {
    const event = await events.next(1000);
    const now = deps.clock.monotonic();
    if (event === undefined) {
      if (!taken && now - began > takenWithinMs) {
        throw new PairProblem(
          `no node took the request within ${Math.round(takenWithinMs / 1000)} s: is a node running, and does it own ${device.name}? (npm start shows the nodes)`,
        );
      }
      if (deps.live && until > now) deps.write(`\r  it lives for ${Math.ceil((until - now) / 1000)} s   `);
      continue;
    }
    taken = true;
    if (event.kind === 'started') deps.write('connecting to WhatsApp\n');
    else if (event.kind === 'qr') {
      until = now + event.lifeMs;
      deps.write(`\n${deps.draw(event.text)}\n`);
      if (deps.keepPng !== undefined) deps.write(`  also as a picture: ${deps.keepPng(event.text)}\n`);
      deps.write(`  code ${event.number} of ${event.most}: on the phone open WhatsApp, Settings, Linked devices, Link a device\n`);
      deps.write(`${deps.live ? '\r' : ''}  scan it within ${Math.ceil(event.lifeMs / 1000)} s${deps.live ? '   ' : '\n'}`);
    } else if (event.kind === 'code') {
      until = now + event.lifeMs;
      deps.write(`\n  ${event.code.slice(0, 4)}-${event.code.slice(4)}\n`);
      deps.write('  on the phone open WhatsApp, Settings, Linked devices, Link a device, Link with phone number instead\n');
      deps.write(`${deps.live ? '\r' : ''}  type it within ${Math.ceil(event.lifeMs / 1000)} s${deps.live ? '   ' : '\n'}`);
    } else if (event.kind === 'linking') {
      until = 0;
      deps.write('\n  the phone has accepted, the device logs in\n');
    } else {
      deps.write(`\n${event.outcome}\n`);
      if (event.outcome === 'PAIRING_EXPIRED') deps.write(`no code was scanned in time: run npm run pair -- ${device.name} again\n`);
      if (event.outcome === 'WRONG_NUMBER') deps.write(`${device.name} belongs to ${device.phone}: another phone scanned the code\n`);
      if (event.outcome === 'PASSKEY_REQUIRED')
        deps.write(
          'this account wants a passkey before it links a device; that cannot be given here: link it in a browser, or use another account\n',
        );
      if (event.outcome === 'NETWORK')
        deps.write("WhatsApp's servers were not reached: check the node's way to the internet, then run this again\n");
      return event.outcome === 'PAIRED';
    }
  }
}
