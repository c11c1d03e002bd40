import type { MailboxHead, MailboxPlace } from '../mailbox/index.ts';
import type { WaitCode } from './machine.ts';

/**
 * What an actor has seen of its lanes: heads, how long each lane's head waits, and places that can be taken out of the mailbox.
 * A head that waits blocks its own lane only (actor I3). Times are monotonic ms.
 */
export interface Lanes {
  /** nothing is known of the mailbox, or it was empty */
  unseen(): boolean;
  show(lanes: readonly (readonly MailboxHead[])[]): void;
  forget(): void;
  /** the head of the first lane (control, high, normal) whose head may go */
  pick(now: number): MailboxHead | undefined;
  /** the lane whose head waits least */
  nearest(): { readonly until: number; readonly code: WaitCode };
  block(lane: number, until: number, code: WaitCode): void;
  free(messageId: string): boolean;
  /** the head has ended; true when nothing more is known of its lane */
  drop(head: MailboxHead): boolean;
  isHead(messageId: string): boolean;
  /** the places to take out, handed over to the caller */
  takeAcks(): MailboxPlace[];
  returnAcks(places: readonly MailboxPlace[]): void;
}

/** Shared by all actors whose mailbox is empty. */
const NOTHING: readonly MailboxHead[][] = Object.freeze([]) as unknown as MailboxHead[][];

export function createLanes(): Lanes {
  let lanes: readonly MailboxHead[][] = NOTHING;
  let acks: MailboxPlace[] = [];
  const until = [0, 0, 0];
  const codes: WaitCode[] = ['RETRY_WAIT', 'RETRY_WAIT', 'RETRY_WAIT'];
  return {
    unseen: () => lanes === NOTHING,
    show(next) {
      lanes = next.some((lane) => lane.length > 0) ? (next as MailboxHead[][]) : NOTHING;
    },
    forget() {
      lanes = NOTHING;
    },
    pick(now) {
      for (let lane = 0; lane < 3; lane++) {
        const head = lanes[lane]?.[0];
        if (head !== undefined && now >= (until[lane] ?? 0)) return head;
      }
      return undefined;
    },
    nearest() {
      let found = { until: Number.POSITIVE_INFINITY, code: 'RETRY_WAIT' as WaitCode };
      for (let lane = 0; lane < 3; lane++) {
        const at = until[lane] ?? 0;
        if (lanes[lane]?.[0] !== undefined && at < found.until) found = { until: at, code: codes[lane] ?? 'RETRY_WAIT' };
      }
      return found;
    },
    block(lane, at, code) {
      until[lane] = at;
      codes[lane] = code;
    },
    free(messageId) {
      const lane = lanes.findIndex((heads) => heads[0]?.messageId === messageId);
      if (lane < 0) return false;
      until[lane] = 0;
      return true;
    },
    drop(head) {
      acks.push({ lane: head.lane, seq: head.seq });
      until[head.lane] = 0;
      const heads = lanes[head.lane];
      if (heads?.[0]?.seq === head.seq) heads.shift();
      return heads === undefined || heads.length === 0;
    },
    isHead: (messageId) => lanes.some((heads) => heads[0]?.messageId === messageId),
    takeAcks() {
      const taken = acks;
      acks = [];
      return taken;
    },
    returnAcks(places) {
      acks = [...places, ...acks];
    },
  };
}
