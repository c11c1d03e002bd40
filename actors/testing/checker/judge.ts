import type { Lane, MessageState } from '../../../schema/domain/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';

/**
 * Judges a run: what the ledger accepted against what the phones recorded, after Jepsen's total-queue checker (lost = accepted - out,
 * unexpected = out - accepted, doubled) with order, epochs and the ledger's own word added. Pure; linear in time; owns the sets.
 *
 * I1  Ledger rows come first, then arrivals in the order of the file, then the verdict.
 * I2  Every figure but `accepted`, `arrived`, `arrivals`, `repeats` and `recovered` is (`staleShown` is a part of `epochFalls`) 0 in a right run.
 */
export interface LedgerRow {
  readonly id: string;
  readonly device: string;
  readonly lane: Lane;
  /** place in the lane; null while not due */
  readonly seq: number | null;
  readonly state: MessageState;
}

export interface Verdict {
  /** rows of the ledger */
  readonly accepted: number;
  /** distinct ledger ids that reached their phone */
  readonly arrived: number;
  /** lines of the file */
  readonly arrivals: number;
  /** arrivals of a wire id that the phone had already: allowed, but only around faults */
  readonly repeats: number;
  /** arrived under a second or later attempt: the first one ended in a fault */
  readonly recovered: number;
  /** of `epochFalls`: those that the phone had not seen before, so that a person was shown what a former owner sent */
  readonly staleShown: number;
  /** accepted, never arrived, and not ended as CANCELLED, SUPPRESSED or FAILED */
  readonly lost: number;
  /** answered as accepted by the API, unknown to the ledger */
  readonly forgotten: number;
  /** one ledger id shown to a person more than once: accepted anew by the phone, or under two wire ids */
  readonly doubled: number;
  /** arrivals of ids that the ledger does not know, or at another device's phone */
  readonly unexpected: number;
  /** first arrivals that came after a later message of the same device and lane */
  readonly order: number;
  /** arrivals under a lower epoch than one before it at the same phone */
  readonly epochFalls: number;
  /** (device, epoch) pairs used by two nodes */
  readonly sharedEpochs: number;
  /** the ledger says SENT or further, no phone has it (these are among the lost) */
  readonly ghosts: number;
  /** a phone has it, the ledger says that it never went */
  readonly denied: number;
  /** neither ended nor lost: arrived, yet still open in the ledger */
  readonly open: number;
  /** up to ten examples of each fault */
  readonly examples: readonly string[];
}

export interface Judge {
  ledger(row: LedgerRow): void;
  /** the API answered this id as accepted */
  answered(id: string): void;
  arrival(arrival: Arrival): void;
  verdict(): Verdict;
}

/** The figures that must be 0. */
export const FAULT_FIGURES = [
  'lost',
  'forgotten',
  'doubled',
  'unexpected',
  'order',
  'epochFalls',
  'sharedEpochs',
  'ghosts',
  'denied',
  'open',
] as const satisfies readonly (keyof Verdict)[];
export type FaultFigure = (typeof FAULT_FIGURES)[number];

const NEVER_WENT: ReadonlySet<MessageState> = new Set<MessageState>(['CANCELLED', 'SUPPRESSED', 'FAILED']);
const WENT: ReadonlySet<MessageState> = new Set<MessageState>(['SENT', 'DELIVERED', 'READ']);
const OPEN: ReadonlySet<MessageState> = new Set<MessageState>(['QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN']);
const EXAMPLES = 10;

interface Entry {
  readonly row: LedgerRow;
  wire: string | undefined;
  retried: boolean;
  /** arrivals that a person would have seen */
  shown: number;
}

export function createJudge(): Judge {
  const entries = new Map<string, Entry>();
  const answers = new Set<string>();
  /** highest seq that arrived, by device and lane */
  const heads = new Map<string, number>();
  const epochs = new Map<string, number>();
  const nodes = new Map<string, string>();
  const counted: Record<FaultFigure, number> = {
    lost: 0,
    forgotten: 0,
    doubled: 0,
    unexpected: 0,
    order: 0,
    epochFalls: 0,
    sharedEpochs: 0,
    ghosts: 0,
    denied: 0,
    open: 0,
  };
  const examples: Record<string, string[]> = {};
  let arrivals = 0;
  let repeats = 0;
  let staleShown = 0;
  const fault = (figure: FaultFigure, what: string): void => {
    counted[figure] += 1;
    examples[figure] ??= [];
    if (examples[figure].length < EXAMPLES) examples[figure].push(`${figure}: ${what}`);
  };

  const checkOwner = (arrival: Arrival): void => {
    const { device, epoch, node } = arrival;
    const highest = epochs.get(device) ?? 0;
    if (epoch < highest && !arrival.repeat) staleShown += 1;
    if (epoch < highest) fault('epochFalls', `device ${device} id ${arrival.id} from ${node} at epoch ${epoch} after ${highest}`);
    else if (epoch > highest) epochs.set(device, epoch);
    const user = nodes.get(`${device}/${epoch}`);
    if (user === undefined) nodes.set(`${device}/${epoch}`, node);
    else if (user !== node) fault('sharedEpochs', `device ${device} epoch ${epoch} by ${user} and ${node}`);
  };
  const checkOrder = ({ row }: Entry): void => {
    if (row.seq === null) return;
    const lane = `${row.device}/${row.lane}`;
    const highest = heads.get(lane) ?? 0;
    if (row.seq < highest) fault('order', `device ${row.device} lane ${row.lane}: ${row.seq} after ${highest}`);
    else heads.set(lane, row.seq);
  };

  return {
    ledger(row) {
      entries.set(row.id, { row, wire: undefined, retried: false, shown: 0 });
    },
    answered(id) {
      answers.add(id);
    },
    arrival(arrival) {
      arrivals += 1;
      if (arrival.repeat) repeats += 1;
      checkOwner(arrival);
      const entry = entries.get(arrival.id);
      if (entry === undefined || entry.row.device !== arrival.device) {
        fault('unexpected', `id ${arrival.id} at device ${arrival.device}`);
        return;
      }
      const first = entry.wire === undefined;
      if (first) checkOrder(entry);
      if (!arrival.repeat || (!first && entry.wire !== arrival.wire)) entry.shown += 1;
      entry.wire ??= arrival.wire;
      if (arrival.attempt > 1) entry.retried = true;
      if (entry.shown === 2) fault('doubled', `id ${arrival.id} at device ${arrival.device}, wire ids ${entry.wire} and ${arrival.wire}`);
    },
    verdict() {
      let arrived = 0;
      let recovered = 0;
      for (const { row, wire, retried } of entries.values()) {
        const there = wire !== undefined;
        if (there) arrived += 1;
        if (retried) recovered += 1;
        if (!there && !NEVER_WENT.has(row.state))
          fault('lost', `id ${row.id} device ${row.device} lane ${row.lane} seq ${row.seq} is ${row.state}`);
        if (!there && WENT.has(row.state)) fault('ghosts', `id ${row.id} is ${row.state}`);
        if (there && NEVER_WENT.has(row.state)) fault('denied', `id ${row.id} is ${row.state}`);
        if (there && OPEN.has(row.state)) fault('open', `id ${row.id} device ${row.device} is ${row.state}`);
      }
      for (const id of answers) if (!entries.has(id)) fault('forgotten', `id ${id}`);
      return {
        accepted: entries.size,
        arrived,
        arrivals,
        repeats,
        recovered,
        staleShown,
        ...counted,
        examples: Object.values(examples).flat(),
      };
    },
  };
}
