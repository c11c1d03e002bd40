import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { DeviceRow, RefillEntry } from '../../schema/sql/index.ts';
import { createFleetBreaker } from '../breaker/index.ts';
import { type Actor, type ActorOptions, type ActorPorts, createActor, type MessageNews, type OwnerRef } from '../device/index.ts';
import type { LossCause, OwnedDevice, Ownership, OwnershipListener } from '../lease/port.ts';
import type { Live } from '../live/index.ts';
import { createMailbox, type MailboxRedis } from '../mailbox/index.ts';
import type { RetryOptions } from '../retry/index.ts';
import type { TransportEvents } from '../transports/port.ts';
import { createActivation } from './activation.ts';
import { createAstray } from './astray.ts';
import { createBells } from './bells.ts';
import { createConnections, type TransportLoaders } from './connections.ts';
import { createGate } from './gate.ts';
import { createInbound } from './inbound.ts';
import { createNodeLedger, poisoned } from './ledger.ts';
import { createOverdue } from './overdue.ts';
import { createProbation } from './probation.ts';
import { createReceipts } from './receipts.ts';
import { createRefiller } from './refill.ts';
import { reloader } from './reloader.ts';
import type { Statements } from './statements.ts';
import type { Subscriptions } from './subscriptions.ts';
import { startSweeps } from './sweeps.ts';
import { createTraffic } from './traffic.ts';
import { createWatchdog } from './watchdog.ts';

/**
 * Hosts the actors of one node: turns grants into running actors, losses into stopped ones, and wires them to mailbox, ledger,
 * transports and live state.
 *
 * Owns: one slot per device it was granted. Does not own: the leases (Ownership), the clients (main).
 * H1 A slot belongs to one ownership; a new grant of the same device replaces it, and an old one's end does not touch it.
 * H2 News of a message is said only after its commit.
 */
export interface Host extends OwnershipListener {
  /** before the first grant */
  bind(ownership: Pick<Ownership, 'generation' | 'reportLost' | 'reportFenced' | 'release'>): void;
  start(): void;
  readonly actors: ReadonlyMap<string, Slot>;
  /** after ownership has drained: stops sweeps, writes what is left to write */
  close(): Promise<void>;
}
export interface Slot {
  readonly owned: OwnedDevice;
  readonly actor: Actor;
  row: DeviceRow;
}

export interface HostDeps {
  readonly redis: MailboxRedis & { ping(): Promise<unknown> };
  readonly subscriptions: Subscriptions;
  readonly statements: Statements;
  readonly live: Pick<Live, 'device' | 'messages' | 'resend'>;
  readonly enqueue: (entries: readonly RefillEntry[]) => Promise<void>;
  readonly transports: TransportLoaders;
  /** a device's link socket came, went or moved (doorbell) */
  readonly linkMoved?: (deviceId: string) => void;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
}
export interface HostOptions {
  readonly nodeId: string;
  /** MAILBOX_WINDOW */
  readonly window: number;
  readonly retry: RetryOptions;
  readonly pacing: 'on' | 'off';
  readonly sendTimeoutMs: number;
  readonly unknownWaitMs: number;
  readonly sweepMs: number;
  readonly refillSweepMs: number;
  /** between two looks for messages that no mailbox holds (astray.ts); default: 20 s */
  readonly astrayMs?: number;
  /** a turn longer than this, while the stores answer, is given up; default: SEND_TIMEOUT_MS and 30 s */
  readonly turnLimitMs?: number;
  /** how long a device that may be what ends nodes holds still after a takeover; default: 10 s (probation.ts) */
  readonly calmMs?: number;
}

/** heads of a lane shown at once: more saves round trips, fewer lets a higher lane in sooner (a bell does that too). Guess. */
const HEADS = 10;
const RECORDS_MS = 50;
/**
 * So long after its grant a device's mailbox is compared with the ledger. What a mailbox holds, or that it was never begun, its actor sees at once;
 * what else the ledger has is rare, and thousands of devices that were taken over together send first. Guess.
 */
const FRESH_MS = 5000;
/** an intent and a result may each take the 15 s that Postgres gives a statement */
const TURN_SLACK_MS = 30_000;

export function createHost(deps: HostDeps, options: HostOptions): Host {
  const { clock, dice, telemetry, statements, live } = deps;
  const { log } = telemetry;
  const slots = new Map<string, Slot>();
  let ownership: Parameters<Host['bind']>[0] | undefined;
  let dirty = new Set<string>();
  let cancelRecords: (() => void) | undefined;
  let fresh: OwnedDevice[] = [];
  let cancelFresh: (() => void) | undefined;
  let stopSweeps: (() => Promise<void>) | undefined;

  const gates = {
    ledger: createGate({ clock, dice, log }, { name: 'postgres', probe: () => statements.turn.ping() }),
    mailbox: createGate({ clock, dice, log }, { name: 'redis', probe: () => deps.redis.ping() }),
  };
  const mailbox = createMailbox(
    { redis: deps.redis, generation: (partition) => ownership?.generation(partition) },
    { window: options.window, heads: HEADS },
  );
  const ledger = createNodeLedger(statements.turn, gates.ledger, clock);
  const turnLimitMs = options.turnLimitMs ?? options.sendTimeoutMs + TURN_SLACK_MS;
  const probation = createProbation(
    { clock, ledger },
    { limitMs: turnLimitMs, ...(options.calmMs === undefined ? {} : { calmMs: options.calmMs }) },
  );
  const traffic = createTraffic(clock, options.nodeId);
  const connections = createConnections({ loaders: deps.transports, log, node: options.nodeId });
  const storeInbound = createInbound({ statements: statements.device, gate: gates.ledger, clock, telemetry });

  const slotOf = (device: OwnerRef): Slot | undefined => {
    const slot = slots.get(device.deviceId);
    return slot?.owned.epoch === device.epoch ? slot : undefined;
  };
  const news = (deviceId: string, tenantId: string, said: MessageNews): void => {
    traffic.note(tenantId, said);
    const { messageId, state, cause, attempts } = said;
    live.messages(tenantId, [{ messageId, deviceId, state, cause, attempts, at: clock.wall() }]);
  };
  const flushRecords = (): void => {
    cancelRecords = undefined;
    const batch = dirty;
    dirty = new Set();
    for (const id of batch) {
      const slot = slots.get(id);
      if (slot !== undefined) live.device(slot.row.tenantId, slot.actor.record());
    }
  };
  const refillFresh = (): void => {
    cancelFresh = undefined;
    const batch = fresh;
    fresh = [];
    for (const { deviceId, partition, epoch } of batch)
      if (slotOf({ deviceId, partition, epoch }) !== undefined) refiller.ask({ deviceId, partition, epoch }, 'granted', undefined);
  };
  const lost = (device: OwnerRef): void => {
    if (slotOf(device) !== undefined) ownership?.reportLost(device.partition, 'script');
  };
  const fenced = (device: OwnerRef, where: string): void => {
    telemetry.count('fenced', 1, { where });
    ownership?.reportFenced(device.deviceId, device.epoch, where);
  };
  const alive = (partition: number): boolean => ownership?.generation(partition) !== undefined;
  function* ownedHere(): Iterable<OwnerRef> {
    for (const { owned } of slots.values())
      if (alive(owned.partition)) yield { deviceId: owned.deviceId, partition: owned.partition, epoch: owned.epoch };
  }
  const mailboxDown = (error: unknown): never => {
    gates.mailbox.failed(error);
    throw error;
  };
  const ledgerDown = (error: unknown): never => {
    if (!poisoned(error)) gates.ledger.failed(error);
    throw error;
  };
  const window: Statements['window'] = {
    ...statements.window,
    refill: (asks, limit) => statements.window.refill(asks, limit).catch(ledgerDown),
    nextSeqs: (ids) => statements.window.nextSeqs(ids).catch(ledgerDown),
  };
  const refiller = createRefiller(
    {
      mailbox: {
        look: (devices) => mailbox.look(devices).catch(mailboxDown),
        refill: (orders) => mailbox.refill(orders).catch(mailboxDown),
      },
      statements: window,
      telemetry,
      ready: async () => {
        await gates.ledger.up();
        await gates.mailbox.up();
      },
      outcome(device, kind, put) {
        if (kind === 'LOST') lost(device);
        else if (kind === 'FENCED') fenced(device, 'refill');
        else slotOf(device)?.actor.wake(put > 0 ? 'work' : 'sweep');
      },
    },
    { window: options.window },
  );

  const stale = reloader(async (ids) => {
    await gates.ledger.up();
    for (const row of await statements.device.loadDevices(ids)) accept(row);
  }, log);
  /** a row as the ledger has it now */
  const accept = (row: DeviceRow): void => {
    const slot = slots.get(row.id);
    if (slot === undefined || row.changedAt < slot.row.changedAt) return;
    const otherSession = ['unlinkedAt', 'restoredAt'].some((name) => row.settings[name] !== slot.row.settings[name]);
    slot.row = row;
    slot.actor.update(row);
    connections.update(row);
    if (row.deleted) void ownership?.release([row.id], 'DELETED');
    // its session is gone, or another one was put in place: whoever takes it next begins with what is there
    else if (otherSession) void ownership?.release([row.id], 'RELEASED');
  };

  const ports: ActorPorts = {
    clock,
    dice,
    telemetry,
    ledger: probation.ledger,
    mailbox: {
      peek: (device, acks) => mailbox.peek({ ...device, acks }).catch(mailboxDown),
      ack: (device, acks) => mailbox.ack({ ...device, acks }),
      up: () => gates.mailbox.up(),
    },
    host: {
      changed(deviceId) {
        dirty.add(deviceId);
        cancelRecords ??= clock.after(RECORDS_MS, flushRecords);
      },
      lost,
      fenced,
      refill: (device, lanes) => refiller.ask(device, 'behind', lanes),
      stale,
      failing(deviceId) {
        const slot = slots.get(deviceId);
        if (slot === undefined || slot.row.paused) return;
        log.warn('device.failing', { deviceId });
        statements.device.pause(slot.row.tenantId, deviceId, 'SUSTAINED_FAILURE').then(
          (row) => row !== null && accept(row),
          (error: unknown) => log.warn('device.pause', { deviceId }, error),
        );
      },
      paired(deviceId) {
        statements.device.setPaired(deviceId).catch((error: unknown) => log.warn('device.paired', { deviceId }, error));
      },
      news,
    },
  };
  const actorOptions: ActorOptions = {
    node: options.nodeId,
    retry: options.retry,
    pacing: options.pacing,
    sendTimeoutMs: options.sendTimeoutMs,
    unknownWaitMs: options.unknownWaitMs,
    fleet: createFleetBreaker(() => telemetry.count('breaker.opened', 1, { scope: 'fleet' })),
  };
  const receipt = createReceipts({ ledger, telemetry, news });
  const overdue = createOverdue(
    { slots, statements: statements.turn, ledger, news, cautious: (kind) => connections.cautious(kind), clock, telemetry },
    { unknownWaitMs: options.unknownWaitMs },
  );

  const begin = (owned: OwnedDevice, row: DeviceRow): void => {
    if (row.deleted) {
      void ownership?.release([row.id], 'DELETED');
      return;
    }
    const actor = createActor(owned, row, ports, actorOptions);
    const slot: Slot = { owned, actor, row };
    slots.set(owned.deviceId, slot);
    probation.add(owned);
    const stop = (): void => {
      actor.end(String((owned.signal.reason as LossCause | undefined) ?? 'LOST'));
      if (slots.get(owned.deviceId) !== slot) return;
      slots.delete(owned.deviceId);
      live.device(slot.row.tenantId, actor.record());
    };
    owned.signal.addEventListener('abort', stop, { once: true });
    if (owned.signal.aborted) {
      stop();
      return;
    }
    const events: TransportEvents = {
      state: (change) => actor.link(change.state, change.reason),
      receipt: (proof) => receipt(slot, proof),
      inbound: storeInbound(row),
    };
    bells.on(owned.partition);
    ports.host.changed(row.id);
    fresh.push(owned);
    cancelFresh ??= clock.after(FRESH_MS, refillFresh);
    connections.open(owned, row, events).then(
      (line) => {
        if (line !== undefined) actor.attach(line);
      },
      (error: unknown) => {
        // given up for a while, then claimed and tried again
        log.error('transport.connect', { deviceId: row.id, transport: row.transport }, error);
        void ownership?.release([row.id], 'RELEASED');
      },
    );
  };
  const bells = createBells(deps.subscriptions, telemetry, {
    work: (deviceId) => slots.get(deviceId)?.actor.wake('work'),
    missed(deviceId) {
      const owned = slots.get(deviceId)?.owned;
      if (owned !== undefined) refiller.ask({ deviceId, partition: owned.partition, epoch: owned.epoch }, 'missed', undefined);
    },
    changed: (deviceId) => {
      if (slots.has(deviceId)) stale(deviceId);
    },
    link: (deviceId) => {
      if (slots.has(deviceId)) deps.linkMoved?.(deviceId);
    },
  });
  const activation = createActivation({
    statements,
    gate: gates.ledger,
    telemetry,
    begin,
    again: (message) =>
      live.messages(message.tenantId, [
        {
          messageId: message.id,
          deviceId: message.deviceId,
          state: message.state,
          cause: message.cause,
          attempts: message.attempt,
          at: clock.wall(),
        },
      ]),
  });

  live.resend((tenantId) => {
    for (const slot of slots.values()) if (slot.row.tenantId === tenantId) live.device(tenantId, slot.actor.record());
  });
  const removeGauges = [telemetry.gauge('devices.owned', () => slots.size), telemetry.gauge('devices.suspected', () => probation.suspects)];

  return {
    actors: slots,
    granted: (devices) => activation.granted(devices),
    settle: (deviceId) => slots.get(deviceId)?.actor.settle() ?? Promise.resolve(),
    engaged(deviceId) {
      const actor = slots.get(deviceId)?.actor;
      if (actor?.facts.link === 'PAIRING') return 'PAIRING';
      return actor?.turnSince() === undefined ? null : 'SENDING';
    },
    bind(to) {
      ownership = to;
    },
    start() {
      stopSweeps = startSweeps({
        clock,
        dice,
        telemetry,
        statements,
        subscriptions: deps.subscriptions,
        mailbox,
        gates,
        traffic,
        slots,
        refill: (device) => refiller.ask(device, 'sweep', undefined),
        astray: createAstray({
          owned: ownedHere,
          mailbox: { astray: (lanes) => mailbox.astray(lanes).catch(mailboxDown) },
          statements: window,
          telemetry,
          restart: refiller.restart,
        }),
        alive,
        accept,
        watch: createWatchdog(
          {
            clock,
            telemetry,
            gates,
            slots,
            probe: () => Promise.all([statements.turn.ping(), deps.redis.ping()]),
            giveUp: (ids) => void ownership?.release(ids, 'STUCK'),
          },
          { limitMs: turnLimitMs },
        ),
        enqueue: deps.enqueue,
        overdue,
        options,
      });
    },
    async close() {
      for (const remove of removeGauges) remove();
      await stopSweeps?.();
      cancelRecords?.();
      cancelFresh?.();
      flushRecords();
      await connections.close();
      await statements.upkeep.addTraffic(traffic.take()).catch((error: unknown) => log.warn('traffic.lost', {}, error));
      gates.ledger.close();
      gates.mailbox.close();
    },
  };
}
