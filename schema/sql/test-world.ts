import { createHash } from 'node:crypto';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { type Lane, type MessageState, uuidV7 } from '../domain/index.ts';
import {
  type AcceptItem,
  accept,
  bumpEpochs,
  createDevices,
  createTenant,
  type IntentItem,
  loadMessages,
  type ResultItem,
} from './index.ts';

/** A tenant with devices in a database of its own, and short ways to speak of them. For the tests of this folder. */
export interface World extends TestDatabase {
  readonly tenantId: string;
  /** makes a tenant and returns its id */
  tenant(maxBacklog?: number): Promise<string>;
  /** makes devices without pace and returns their ids in rising order */
  devices(count: number, options?: { readonly tenantId?: string; readonly dailyCap?: number }): Promise<string[]>;
  item(deviceId: string, change?: Partial<AcceptItem>): AcceptItem;
  /** accepts one message and returns its id */
  send(deviceId: string, change?: Partial<AcceptItem>): Promise<string>;
  /** takes a device for a node; returns the new epoch */
  own(deviceId: string, node?: string, crash?: boolean): Promise<number>;
  intentItem(deviceId: string, epoch: number, messageId: string, change?: Partial<IntentItem>): IntentItem;
  resultItem(deviceId: string, epoch: number, messageId: string, state: ResultItem['state'], change?: Partial<ResultItem>): ResultItem;
  state(messageId: string): Promise<MessageState | undefined>;
  /** what the counters say: accepted - ended */
  backlog(deviceId: string): Promise<number>;
  /** what the ledger says: messages in an open state */
  open(deviceId: string): Promise<number>;
}

export const now = (): number => systemClock.wall();
export const newId = (): string => uuidV7(now());
export const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();

export async function createWorld(): Promise<World> {
  const database = await createDatabase();
  const { sql } = database;
  const tenant = async (maxBacklog = 1_000_000): Promise<string> => {
    const id = newId();
    await createTenant(sql, { id, name: `tenant ${id}`, maxBacklog });
    return id;
  };
  const tenantId = await tenant();
  const count = async (text: string, deviceId: string): Promise<number> =>
    (await sql.unsafe<{ n: number }[]>(text, [deviceId]))[0]?.n ?? Number.NaN;
  const world: World = {
    ...database,
    tenantId,
    tenant,
    async devices(many, options = {}) {
      const made = await createDevices(
        sql,
        Array.from({ length: many }, () => {
          const id = newId();
          return {
            id,
            tenantId: options.tenantId ?? tenantId,
            name: `device ${id}`,
            transport: 'simulator' as const,
            paceMinMs: 0,
            paceMaxMs: 0,
            dailyCap: options.dailyCap ?? null,
          };
        }),
      );
      return made.map((device) => device.id);
    },
    item: (deviceId, change = {}) => ({
      id: newId(),
      tenantId,
      deviceId,
      lane: 'high' as Lane,
      recipient: '+4915110000001',
      body: 'hello',
      idempotencyKey: null,
      contentHash: hashOf('hello'),
      scheduledAt: null,
      traceparent: null,
      ...change,
    }),
    async send(deviceId, change = {}) {
      const [outcome] = await accept(sql, [world.item(deviceId, change)]);
      if (outcome?.kind !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(outcome)}`);
      return outcome.id;
    },
    async own(deviceId, node = 'node-1', crash = false) {
      const [row] = await sql.unsafe<{ epoch: number }[]>('select epoch from ownership where device_id = $1', [deviceId]);
      const [won] = await bumpEpochs(sql, [{ deviceId, epoch: row?.epoch ?? -1, crash }], node);
      if (won === undefined) throw new Error('the epoch was bumped by another');
      return won.epoch;
    },
    intentItem: (deviceId, epoch, messageId, change = {}) => ({
      deviceId,
      epoch,
      node: 'node-1',
      messageId,
      paceMs: 0,
      resendUnknown: false,
      budget: 6,
      ...change,
    }),
    resultItem: (deviceId, epoch, messageId, state, change = {}) => ({
      messageId,
      deviceId,
      epoch,
      attempt: 1,
      state,
      cause: state === 'FAILED' || state === 'DEAD' ? 'TEST' : null,
      error: null,
      dueAt: null,
      at: now(),
      ...change,
    }),
    state: async (messageId) => (await loadMessages(sql, tenantId, [messageId]))[0]?.state,
    backlog: (deviceId) =>
      count(
        'select (select sum(accepted) from lane_counters where device_id = $1)::bigint - (select ended from ownership where device_id = $1) as n',
        deviceId,
      ),
    open: (deviceId) =>
      count(`select count(*) as n from messages where device_id = $1 and state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')`, deviceId),
  };
  return world;
}

/** A device with one accepted message, owned by node-1. */
export async function readyDevice(
  world: World,
  change: Partial<AcceptItem> = {},
): Promise<{ readonly device: string; readonly message: string; readonly epoch: number }> {
  const [device = ''] = await world.devices(1);
  const message = await world.send(device, change);
  return { device, message, epoch: await world.own(device) };
}

/** For a transaction that a test holds open: ours are ended by the server when they stand idle for 5 s, which a slow machine may take to get to the next statement. */
export const MAY_IDLE = 'set local idle_in_transaction_session_timeout = 0';

/** Resolves when some backend of the database waits for a lock: the statement under test has reached the row that is held. */
export async function someoneWaits(world: World): Promise<void> {
  for (const end = systemClock.monotonic() + 60_000; systemClock.monotonic() < end; ) {
    const rows = await world.sql.unsafe(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()`,
    );
    if (rows.length > 0) return;
    await systemClock.sleep(10);
  }
  throw new Error('nobody waited for a lock');
}
