import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { standingOf } from '../../../schema/domain/index.ts';
import type { SendOutcome, TransportDevice } from '../port.ts';
import type { Counted, Line } from './line-port.ts';
import { createReachOutGuard, type ReachOut } from './reach-out.ts';
import { rejectionFor } from './rejections.ts';
import type { Standing } from './standing.ts';

/**
 * How a device's account stands with WhatsApp, and what is done about it: new chats paused (reach-out.ts), everything held after a 429, the new chats
 * that are left. All of it is obeyed, written down and shown; nothing is worked around.
 * Owns: the pause and the hold of one device, the timer of the one question after a login. Called by device-connection.ts.
 */
export interface Account {
  /** shown with ONLINE */
  readonly reason: string | null;
  /** null: this may be sent */
  refusal(to: string): Promise<Extract<SendOutcome, { kind: 'rejected' }> | null>;
  /** a message to this number was refused with this code */
  refused(error: string, to: string): void;
  /** the connection ended with a 429 */
  slowedDown(): void;
  told(standing: ReachOut): void;
  counted(chats: Counted): void;
  /** somebody (E.164) wrote to the device */
  heard(from: string): void;
  opened(): void;
  closed(): void;
  stop(): void;
}

export interface AccountTiming {
  /** how long no new chats are started after a 463 when WhatsApp names no end */
  readonly reachOutMs: number;
  /** WhatsApp is asked how many new chats are left between this and eleven times this after a login */
  readonly newChatsMs: number;
}

export function createAccount(
  deps: {
    readonly clock: Clock;
    readonly dice: Dice;
    readonly log: Log;
    readonly standing: Standing;
    readonly timing: AccountTiming;
    /** the socket, when there is one */
    line(): Line | undefined;
    changed(): void;
  },
  device: TransportDevice,
): Account {
  const { clock, log, standing, timing } = deps;
  const before = standingOf(device.settings);
  const guarded = (what: string, task: Promise<void>): void =>
    void task.catch((error: unknown) => log.warn(what, { device: device.id }, error));
  const lineNow = (): Line => {
    const line = deps.line();
    if (line === undefined) throw new Error('not connected');
    return line;
  };
  const guard = createReachOutGuard({
    clock,
    log,
    fallbackMs: timing.reachOutMs,
    before: { until: before.coldUntil, why: before.coldWhy },
    ask: async () => lineNow().askReachOut(),
    isWarm: (to) => standing.isWarm(device.id, to),
    keep: (pause) => (pause === null ? standing.resumeCold(device) : standing.pauseCold(device, pause.until, pause.why)),
    changed: deps.changed,
  });
  let cancelAsk = (): void => {};
  const slowDown = (): void => {
    const { retryAfterMs = 0 } = rejectionFor('429', 1);
    guarded('whatsapp.hold', standing.hold(device, clock.wall() + retryAfterMs));
  };
  const counted = (chats: Counted): void => {
    guarded('whatsapp.new.chats', standing.newChats(device, { ...chats, at: Math.floor(clock.wall()) }));
    guard.counted(chats);
  };
  return {
    get reason() {
      return guard.paused;
    },
    refusal: (to) => guard.refusal(to),
    refused(error, to) {
      if (error === '463') guard.refused(to);
      if (error === '429') slowDown();
    },
    slowedDown: slowDown,
    told: (said) => guard.told(said),
    counted,
    heard(from) {
      if (guard.paused !== null && from.startsWith('+')) guarded('whatsapp.acquainted', standing.acquainted(device.id, from));
    },
    opened() {
      cancelAsk();
      const ask = async (): Promise<void> => {
        const chats = await lineNow().askNewChats();
        if (chats !== null) counted(chats);
      };
      const ms = timing.newChatsMs * (1 + 10 * deps.dice.next());
      cancelAsk = clock.after(ms, () => guarded('whatsapp.new.chats.ask', ask()), { background: true });
    },
    closed: () => cancelAsk(),
    stop() {
      cancelAsk();
      guard.stop();
    },
  };
}
