import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { ENDED_STATES, type MessageEventRecord } from '../../schema/domain/index.ts';
import type {
  Candidate,
  CandidateAsk,
  CeilingAsk,
  CeilingLeave,
  LiveFlow,
  PlanItem,
  PlanOutcome,
  RefillEntry,
} from '../../schema/sql/index.ts';
import { renderText } from './render.ts';

/**
 * Makes the messages of flows for the devices that this node owns, a few ahead of what each device can send.
 *
 * Owns: for each device of a tenant with a running flow: how many messages it planned that have not ended, and when to look again. Does not
 * own: enrolments (Postgres), mailboxes, pace. Called by main (`events`, `rang`), and by its own clock.
 * P1 One round is under way at a time; it asks for many devices in one statement, never for one.
 * P2 A device is asked for only when it has room and its time has come. Its room follows its speed: what ended since the last look, doubled.
 * P3 All it keeps is a hint: compare-and-set in Postgres decides, and the full look every LOOK_MS finds what no bell announced.
 * P4 A message that the ledger has set aside (COLD_PAUSED: the provider wants no new chats) is under way no more: it comes back by itself, and those who know
 *    the device do not wait behind it.
 * P5 A flow with a ceiling makes one message of a device at a time, and only those it has leave for; who comes first changes with each round.
 */
export interface Planner {
  start(): void;
  /** what was said of messages: an end makes room */
  events(events: readonly MessageEventRecord[]): void;
  /** flows of this tenant were started, stopped or have new enrolments */
  rang(tenantId: string): void;
  /** resolves when no round is under way */
  close(): Promise<void>;
}

export interface PlannerStatements {
  liveFlows(): Promise<readonly LiveFlow[]>;
  candidates(asks: readonly CandidateAsk[]): Promise<readonly Candidate[]>;
  plan(items: readonly PlanItem[]): Promise<readonly PlanOutcome[]>;
  /** leave for flows with a ceiling */
  take(asks: readonly CeilingAsk[]): Promise<readonly CeilingLeave[]>;
  /** ends enrolments for which no message can be made */
  end(items: readonly { readonly flowNo: number; readonly leadNo: number; readonly step: number; readonly cause: string }[]): Promise<void>;
}
/** A device of this node: the planner sees the host's slots as they are. */
export interface PlannerSlot {
  readonly owned: { readonly epoch: number };
  readonly row: { readonly tenantId: string; readonly paused: boolean };
}
export interface PlannerDeps {
  readonly statements: PlannerStatements;
  readonly slots: ReadonlyMap<string, PlannerSlot>;
  readonly enqueue: (entries: readonly RefillEntry[]) => Promise<void>;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}

/** flows are read, and devices that came or went are noticed, this often; every device with a running flow is looked at as often */
const LOOK_MS = 5000;
const TICK_MS = 100;
/** pairs of device and flow of one statement */
const PAIRS = 500;
const LEAST_ROOM = 4;
const MOST_ROOM = 50;

interface Want {
  /** planned here and not ended */
  readonly open: Set<string>;
  room: number;
  ended: number;
  /** monotonic ms: when to look */
  at: number;
}

/** The same list from another place on. */
function turnedBy<T>(list: readonly T[], by: number): readonly T[] {
  const from = list.length === 0 ? 0 : (by * 7919) % list.length;
  return from === 0 ? list : [...list.slice(from), ...list.slice(0, from)];
}

/** The text of a lead: that of its variant where the flow has some. */
function templateOf(flow: LiveFlow, { step, variant }: Candidate): string {
  return (variant === null ? undefined : flow.variants[variant - 1]) ?? flow.templates[step - 1] ?? '';
}

export function createPlanner(deps: PlannerDeps): Planner {
  const { statements, slots, clock, telemetry } = deps;
  let flows = new Map<string, LiveFlow[]>();
  const wants = new Map<string, Want>();
  /** devices to look at, by the tick in which their time comes */
  const wheel = new Map<number, Set<string>>();
  let turned = 0;
  let lookAt = 0;
  let rounds = 0;
  /** flows that have used up their ceiling, and until when (monotonic ms) */
  const spent = new Map<number, number>();
  /** tenants in which devices wait for leave, and until when: who has sent stands in line again */
  const scarce = new Map<string, number>();
  let closed = false;
  let cancel: (() => void) | undefined;
  let running = Promise.resolve();

  const tickOf = (ms: number): number => Math.ceil(ms / TICK_MS);
  const schedule = (deviceId: string, want: Want, at: number): void => {
    wheel.get(tickOf(want.at))?.delete(deviceId);
    want.at = at;
    const tick = Math.max(tickOf(at), turned + 1);
    want.at = tick * TICK_MS;
    const set = wheel.get(tick);
    if (set === undefined) wheel.set(tick, new Set([deviceId]));
    else set.add(deviceId);
  };
  const forget = (deviceId: string): void => {
    const want = wants.get(deviceId);
    if (want === undefined) return;
    wheel.get(tickOf(want.at))?.delete(deviceId);
    wants.delete(deviceId);
  };

  /** reads the flows; devices of tenants with open flows are wanted, the others forgotten */
  const look = async (): Promise<void> => {
    const rows = await statements.liveFlows();
    flows = new Map();
    for (const flow of rows) {
      if (!flow.open) continue;
      const list = flows.get(flow.tenantId);
      if (list === undefined) flows.set(flow.tenantId, [flow]);
      else list.push(flow);
    }
    lookAt = clock.monotonic() + LOOK_MS;
    for (const [tenantId, until] of scarce) if (until <= clock.monotonic()) scarce.delete(tenantId);
    for (const no of spent.keys()) if (!rows.some((flow) => flow.no === no)) spent.delete(no);
    for (const deviceId of wants.keys()) {
      const tenantId = slots.get(deviceId)?.row.tenantId;
      if (tenantId === undefined || !flows.has(tenantId)) forget(deviceId);
    }
    if (flows.size === 0) return;
    const now = clock.monotonic();
    for (const [deviceId, slot] of slots) {
      if (!flows.has(slot.row.tenantId)) continue;
      let want = wants.get(deviceId);
      if (want === undefined) {
        want = { open: new Set(), room: LEAST_ROOM, ended: 0, at: 0 };
        wants.set(deviceId, want);
        schedule(deviceId, want, now);
      } else if (want.at > now + LOOK_MS) schedule(deviceId, want, now);
    }
  };

  const due = (): string[] => {
    const now = Math.floor(clock.monotonic() / TICK_MS);
    const found: string[] = [];
    if (turned === 0) turned = now - 1;
    for (; turned < now; turned++) {
      const set = wheel.get(turned + 1);
      if (set === undefined) continue;
      wheel.delete(turned + 1);
      found.push(...set);
    }
    return found;
  };

  const round = async (): Promise<void> => {
    if (clock.monotonic() >= lookAt) await look();
    const asks: CandidateAsk[] = [];
    const asked = new Map<string, Want>();
    const flush = async (): Promise<void> => {
      const batch = asks.splice(0);
      const devices = new Map(asked);
      asked.clear();
      if (batch.length > 0) await fill(batch, devices);
    };
    rounds += 1;
    const now = clock.monotonic();
    for (const deviceId of turnedBy(due(), rounds)) {
      const want = wants.get(deviceId);
      const slot = slots.get(deviceId);
      if (want === undefined || slot === undefined) continue;
      const room = want.room - want.open.size;
      if (slot.row.paused || room <= 0) {
        schedule(deviceId, want, clock.monotonic() + LOOK_MS);
        continue;
      }
      const open = (flows.get(slot.row.tenantId) ?? []).filter((flow) => (spent.get(flow.no) ?? 0) <= now);
      if (open.length === 0) {
        schedule(deviceId, want, clock.monotonic() + LOOK_MS);
        continue;
      }
      for (const flow of open) asks.push({ deviceId, flowNo: flow.no, room: flow.capped ? 1 : room });
      asked.set(deviceId, want);
      if (asks.length >= PAIRS) await flush();
    }
    await flush();
  };

  const fill = async (asks: readonly CandidateAsk[], asked: ReadonlyMap<string, Want>): Promise<void> => {
    const found = await statements.candidates(asks);
    const lists = new Map<string, Candidate[]>();
    for (const one of found) {
      const list = lists.get(one.deviceId);
      if (list === undefined) lists.set(one.deviceId, [one]);
      else list.push(one);
    }
    const items: PlanItem[] = [];
    const bare: (Candidate & { readonly cause: string })[] = [];
    for (const [deviceId, want] of asked) {
      const slot = slots.get(deviceId);
      if (slot === undefined) continue;
      const list = lists.get(deviceId) ?? [];
      const room = want.room - want.open.size;
      const ready = list.filter((one) => one.notDueMs <= 0).slice(0, room);
      const next = list.find((one) => one.notDueMs > 0);
      const wait = ready.length >= room ? LOOK_MS : Math.min(LOOK_MS, next?.notDueMs ?? LOOK_MS);
      schedule(deviceId, want, clock.monotonic() + wait);
      for (const one of ready) {
        const flow = flows.get(slot.row.tenantId)?.find(({ no }) => no === one.flowNo);
        const text = flow === undefined ? undefined : renderText(templateOf(flow, one), one);
        if (flow === undefined || text === undefined) continue;
        if (text === null || one.phone === null) bare.push({ ...one, cause: text === null ? 'NO_TEXT' : 'NO_PHONE' });
        else
          items.push({
            flowNo: one.flowNo,
            leadNo: one.leadNo,
            step: one.step,
            messageId: deps.newId(),
            tenantId: flow.tenantId,
            deviceId,
            epoch: slot.owned.epoch,
            lane: flow.lane,
            recipient: one.phone,
            recipientLid: one.lid,
            body: text,
          });
      }
    }
    if (bare.length > 0) await statements.end(bare);
    const allowed = await withinCeilings(items);
    if (allowed.length > 0) await place(allowed, asked);
  };

  /** P5 */
  const withinCeilings = async (items: readonly PlanItem[]): Promise<readonly PlanItem[]> => {
    const asks = new Map<number, { readonly flowNo: number; readonly tenantId: string; wanted: number }>();
    for (const { flowNo, tenantId } of items) {
      if (flows.get(tenantId)?.find(({ no }) => no === flowNo)?.capped !== true) continue;
      const ask = asks.get(flowNo);
      if (ask === undefined) asks.set(flowNo, { flowNo, tenantId, wanted: 1 });
      else ask.wanted += 1;
    }
    if (asks.size === 0) return items;
    const left = new Map<number, number>();
    for (const { flowNo, many, waitMs } of await statements.take([...asks.values()])) {
      left.set(flowNo, many);
      if (waitMs === 0) continue;
      spent.set(flowNo, clock.monotonic() + waitMs);
      scarce.set(asks.get(flowNo)?.tenantId ?? '', clock.monotonic() + LOOK_MS);
    }
    return items.filter(({ flowNo }) => {
      if (!asks.has(flowNo)) return true;
      const many = left.get(flowNo) ?? 0;
      left.set(flowNo, many - 1);
      return many > 0;
    });
  };

  const place = async (items: readonly PlanItem[], asked: ReadonlyMap<string, Want>): Promise<void> => {
    const outcomes = await statements.plan(items);
    const entries: RefillEntry[] = [];
    items.forEach((item, index) => {
      const outcome = outcomes[index];
      telemetry.count('planned', 1, { outcome: outcome?.kind ?? 'moved' });
      if (outcome?.kind !== 'planned') return;
      asked.get(item.deviceId)?.open.add(item.messageId);
      entries.push({ deviceId: item.deviceId, lane: item.lane, seq: outcome.seq, messageId: item.messageId, traceparent: null });
    });
    // lost on the way: the refill sweep finds them
    await deps.enqueue(entries);
  };

  const arm = (): void => {
    if (closed) return;
    cancel = clock.after(TICK_MS, () => {
      running = round()
        .catch((error: unknown) => {
          telemetry.log.warn('planner.round', {}, error);
          lookAt = 0;
          const now = clock.monotonic();
          for (const [deviceId, want] of wants) schedule(deviceId, want, now + LOOK_MS);
        })
        .then(arm);
    });
  };

  return {
    start: arm,
    events(events) {
      for (const event of events) {
        const want = wants.get(event.deviceId);
        const aside = event.state === 'QUEUED' && event.cause === 'COLD_PAUSED';
        if (want === undefined || !(aside || ENDED_STATES.has(event.state)) || !want.open.delete(event.messageId)) continue;
        if (!aside) want.ended += 1;
        if (want.open.size > want.room >> 1) continue;
        want.room = Math.min(MOST_ROOM, Math.max(LEAST_ROOM, want.ended * 2));
        want.ended = 0;
        const now = clock.monotonic();
        const inLine = (scarce.get(slots.get(event.deviceId)?.row.tenantId ?? '') ?? 0) > now;
        schedule(event.deviceId, want, inLine ? now + LOOK_MS : now);
      }
    },
    rang(tenantId) {
      lookAt = 0;
      const now = clock.monotonic();
      for (const [deviceId, want] of wants) if (slots.get(deviceId)?.row.tenantId === tenantId) schedule(deviceId, want, now);
    },
    async close() {
      closed = true;
      cancel?.();
      await running;
    },
  };
}
