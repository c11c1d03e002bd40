import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { DeviceRow, RefillEntry } from '../../schema/sql/index.ts';
import type { Actor, OwnerRef } from '../device/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import type { Mailbox } from '../mailbox/index.ts';
import { createChangeCursor } from '../placement/index.ts';
import type { Gate } from './gate.ts';
import { createSweeps } from './repeat.ts';
import type { Statements } from './statements.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Traffic } from './traffic.ts';

const CHANGED_MS = 5000;
/** questions about changes overlap by this much: a change is seen a moment after its time stamp */
const OVERLAP_MS = 15_000;
const PROMOTE_MS = 1000;
const PROMOTED = 500;
const OVERDUE_MS = 5000;
const TRAFFIC_MS = 2000;
const PARTITIONS_MS = 3_600_000;
const WATCH_MS = 1000;
/** the last net under the others, so it may be slow: what it finds has stood still for twice this at most */
const ASTRAY_MS = 20_000;

export interface SweepDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  readonly statements: Statements;
  readonly subscriptions: Subscriptions;
  readonly mailbox: Pick<Mailbox, 'ready'>;
  readonly gates: { readonly ledger: Gate; readonly mailbox: Gate };
  readonly traffic: Traffic;
  readonly slots: ReadonlyMap<string, { readonly owned: OwnedDevice; readonly actor: Actor }>;
  refill(device: OwnerRef): void;
  /** is the partition's generation known */
  alive(partition: number): boolean;
  accept(row: DeviceRow): void;
  /** looks for turns that do not end */
  watch(): Promise<void>;
  enqueue(entries: readonly RefillEntry[]): Promise<void>;
  /** ends attempts whose outcome has been open for too long */
  overdue(): Promise<void>;
  /** looks for messages that no mailbox holds */
  astray(): Promise<number>;
  readonly options: { readonly sweepMs: number; readonly refillSweepMs: number; readonly astrayMs?: number };
}

/** What a node does now and then, so that nothing that was lost on the way stays lost. The result stops it all. */
export function startSweeps(deps: SweepDeps): () => Promise<void> {
  const { gates, slots, statements, traffic } = deps;
  const sweeps = createSweeps({ clock: deps.clock, dice: deps.dice, log: deps.telemetry.log });
  const changes = createChangeCursor(deps.clock, OVERLAP_MS);
  changes.restart(deps.clock.wall());

  const ready = sweeps.every('ready', deps.options.sweepMs, async () => {
    if (!gates.mailbox.open) return;
    const partitions = new Set<number>();
    for (const { owned, actor } of slots.values()) {
      if (!deps.alive(owned.partition)) continue;
      partitions.add(owned.partition);
      if (actor.facts.trouble === 'MAILBOX_LOST') actor.wake('sweep');
    }
    const lists = await deps.mailbox.ready([...partitions]);
    for (const list of lists) for (const deviceId of list) slots.get(deviceId)?.actor.wake('sweep');
  });
  deps.subscriptions.onReset(() => ready.soon());

  sweeps.every('refill', deps.options.refillSweepMs, async () => {
    if (!gates.mailbox.open || !gates.ledger.open) return;
    for (const { owned } of slots.values()) {
      if (deps.alive(owned.partition)) deps.refill({ deviceId: owned.deviceId, partition: owned.partition, epoch: owned.epoch });
    }
  });
  sweeps.every('astray', deps.options.astrayMs ?? ASTRAY_MS, async () => {
    if (gates.mailbox.open && gates.ledger.open) await deps.astray();
  });
  sweeps.every('changed', CHANGED_MS, async () => {
    if (!gates.ledger.open) return;
    const rows = await statements.device.changedDevices(changes.since());
    for (const row of rows) deps.accept(row);
    changes.answered(rows.map((row) => row.changedAt));
  });
  sweeps.every('promote', PROMOTE_MS, async () => {
    if (!gates.ledger.open) return;
    for (let more = true; more; ) {
      const entries = await statements.window.promoteDue(PROMOTED);
      await deps.enqueue(entries);
      more = entries.length >= PROMOTED;
    }
  });
  sweeps.every('overdue', OVERDUE_MS, async () => {
    if (gates.ledger.open) await deps.overdue();
  });
  sweeps.every('traffic', TRAFFIC_MS, async () => {
    const rows = traffic.take();
    if (rows.length === 0) return;
    try {
      await statements.upkeep.addTraffic(rows);
    } catch (error) {
      traffic.give(rows);
      throw error;
    }
  });
  sweeps.every('watchdog', WATCH_MS, () => deps.watch());
  // at once too: after a long standstill the ledger may have no partition for today
  sweeps
    .every('partitions', PARTITIONS_MS, async () => {
      await statements.upkeep.partitions();
    })
    .soon();
  return () => sweeps.stop();
}
