import type { Arrival } from '../../../transports/simulator/index.ts';

/**
 * Judges a campaign run by its leads: what the ledger says of enrolments and messages against what the phones recorded. Beside the judge of
 * messages (checker/judge.ts), which does not know that two messages may be the same step. Pure; owns the maps.
 *
 * I1 Messages come first, then enrolments, then arrivals in the order of the file, then the verdict.
 * I2 Every figure but `leads`, `enrolments`, `shown` and `capsReached` is 0 in a right run.
 */
export interface FlowMessage {
  readonly id: string;
  readonly device: string;
  readonly state: string;
  readonly flow: number | null;
  readonly lead: number | null;
  readonly step: number | null;
  /** wall ms of its last intent */
  readonly intent_at: number | null;
}
export interface FlowEnrolment {
  readonly flow: number;
  readonly lead: number;
  readonly step: number;
  readonly cause: string | null;
  readonly device: string;
  readonly phone: string | null;
}
export interface FlowPlan {
  readonly no: number;
  readonly steps: number;
  /** every lead belongs into it from the start */
  readonly everybody: boolean;
  /** number of the flow that leads go on to */
  readonly next: number | null;
  readonly cancelled: boolean;
}
export interface CheckOptions {
  readonly flows: readonly FlowPlan[];
  /** most sends a day of these devices */
  readonly caps: ReadonlyMap<string, number>;
  /** shortest wait between two sends of a device */
  readonly paceMinMs: number;
  /** wall ms since which a phone is not to be messaged */
  readonly stops: ReadonlyMap<string, number>;
  /** what had its leave when somebody said stop may still arrive for so long */
  readonly stopGraceMs: number;
}

export interface FlowVerdict {
  readonly leads: number;
  readonly enrolments: number;
  /** steps that a person saw */
  readonly shown: number;
  /** a step that one person saw twice, under whichever ids */
  readonly doubled: number;
  /** an enrolment that is through, of which a step never arrived; or one that ended for no reason of this run */
  readonly missing: number;
  /** leads that are in none of a flow that they belong into, now or by its predecessor */
  readonly absent: number;
  /** a step that came before one that stands before it, across chained flows */
  readonly steps: number;
  /** arrivals at somebody who had said stop */
  readonly suppressed: number;
  /** sends of a device above its cap of the day */
  readonly overCap: number;
  /** sends of a device nearer to each other than its pace */
  readonly hurried: number;
  /** enrolments that nothing holds and that have not ended */
  readonly unfinished: number;
  /** devices that sent just as much as their cap allows: else the cap was not tried */
  readonly capsReached: number;
  readonly examples: readonly string[];
}
export const FLOW_FAULTS = ['doubled', 'missing', 'absent', 'steps', 'suppressed', 'overCap', 'hurried', 'unfinished'] as const;
type FlowFault = (typeof FLOW_FAULTS)[number];

export interface FlowCheck {
  lead(lead: number, phone: string | null): void;
  message(row: FlowMessage): void;
  enrolment(row: FlowEnrolment): void;
  arrival(arrival: Arrival): void;
  verdict(): FlowVerdict;
}

const EXAMPLES = 5;
/** two clocks of one machine, and ms that were cut off */
const SLACK_MS = 2;
/** reasons that this run gives an enrolment to end */
const MEANT: ReadonlySet<string> = new Set(['DONE', 'SUPPRESSED', 'CANCELLED']);

export function createFlowCheck(options: CheckOptions): FlowCheck {
  const plans = new Map(options.flows.map((flow) => [flow.no, flow]));
  const before = new Map(options.flows.flatMap((flow) => (flow.next === null ? [] : [[flow.next, flow.no] as const])));
  const leads = new Map<number, string | null>();
  const messages = new Map<string, FlowMessage>();
  const enrolments = new Map<string, FlowEnrolment>();
  const intents = new Map<string, number[]>();
  const sends = new Map<string, number>();
  /** by flow and lead: steps seen */
  const seen = new Map<string, Set<number>>();
  const counted: Record<FlowFault, number> = {
    doubled: 0,
    missing: 0,
    absent: 0,
    steps: 0,
    suppressed: 0,
    overCap: 0,
    hurried: 0,
    unfinished: 0,
  };
  const examples: Record<string, string[]> = {};
  let shown = 0;
  const fault = (figure: FlowFault, what: string): void => {
    counted[figure] += 1;
    examples[figure] ??= [];
    if (examples[figure].length < EXAMPLES) examples[figure].push(`${figure}: ${what}`);
  };
  const stopped = (phone: string | null): boolean => phone !== null && options.stops.has(phone);
  const stepsOf = (flow: number, lead: number): ReadonlySet<number> => seen.get(`${flow}/${lead}`) ?? new Set();

  const checkStep = (flow: number, lead: number, step: number): void => {
    const there = seen.get(`${flow}/${lead}`) ?? new Set<number>();
    seen.set(`${flow}/${lead}`, there);
    if (there.has(step)) {
      fault('doubled', `flow ${flow} lead ${lead} step ${step}`);
      return;
    }
    shown += 1;
    const earlier = before.get(flow);
    const ready = step === 1 ? earlier === undefined || stepsOf(earlier, lead).has(plans.get(earlier)?.steps ?? 0) : there.has(step - 1);
    if (!ready) fault('steps', `flow ${flow} lead ${lead} step ${step} before what stands before it`);
    there.add(step);
  };
  const checkCap = (device: string, at: number): void => {
    const day = `${device}/${Math.floor(at / 86_400_000)}`;
    const count = (sends.get(day) ?? 0) + 1;
    sends.set(day, count);
    const cap = options.caps.get(device);
    if (cap !== undefined && count > cap) fault('overCap', `device ${device}: ${count} of ${cap}`);
  };
  const checkEnrolment = (one: FlowEnrolment): void => {
    const plan = plans.get(one.flow);
    if (plan === undefined) return;
    const where = `flow ${one.flow} lead ${one.lead}`;
    if (one.cause === null) {
      if (!plan.cancelled && !options.caps.has(one.device)) fault('unfinished', `${where} stands at step ${one.step}`);
    } else if (
      !MEANT.has(one.cause) ||
      (one.cause === 'SUPPRESSED' && !stopped(one.phone)) ||
      (one.cause === 'CANCELLED' && !plan.cancelled)
    ) {
      fault('missing', `${where} ended ${one.cause}`);
    } else if (one.cause === 'DONE') {
      for (let step = 1; step <= plan.steps; step++)
        if (!stepsOf(one.flow, one.lead).has(step)) fault('missing', `${where} is through, and step ${step} never arrived`);
    }
  };
  const checkPresence = (): void => {
    for (const plan of plans.values()) {
      const from = before.get(plan.no);
      for (const [lead, phone] of leads) {
        const belongs = plan.everybody ? !stopped(phone) : from !== undefined && enrolments.get(`${from}/${lead}`)?.cause === 'DONE';
        if (belongs && !enrolments.has(`${plan.no}/${lead}`)) fault('absent', `lead ${lead} is not in flow ${plan.no}`);
      }
    }
  };
  const checkPace = (): void => {
    for (const [device, times] of intents) {
      times.sort((a, b) => a - b);
      for (let n = 1; n < times.length; n++) {
        const gap = (times[n] ?? 0) - (times[n - 1] ?? 0);
        if (gap < options.paceMinMs - SLACK_MS) fault('hurried', `device ${device}: ${gap} ms between two sends`);
      }
    }
  };

  return {
    lead: (lead, phone) => void leads.set(lead, phone),
    message(row) {
      messages.set(row.id, row);
      if (row.intent_at === null) return;
      const times = intents.get(row.device);
      if (times === undefined) intents.set(row.device, [row.intent_at]);
      else times.push(row.intent_at);
    },
    enrolment: (row) => void enrolments.set(`${row.flow}/${row.lead}`, row),
    arrival(arrival) {
      if (arrival.repeat) return;
      checkCap(arrival.device, arrival.at);
      const stop = options.stops.get(arrival.to);
      if (stop !== undefined && arrival.at > stop + options.stopGraceMs)
        fault('suppressed', `device ${arrival.device} id ${arrival.id}, ${arrival.at - stop} ms after the stop`);
      const row = messages.get(arrival.id);
      if (row === undefined || row.flow === null || row.lead === null || row.step === null) return;
      checkStep(row.flow, row.lead, row.step);
    },
    verdict() {
      checkPresence();
      checkPace();
      for (const one of enrolments.values()) checkEnrolment(one);
      const today = new Map<string, number>();
      for (const [key, count] of sends) today.set(key.split('/')[0] ?? '', Math.max(count, today.get(key.split('/')[0] ?? '') ?? 0));
      return {
        leads: leads.size,
        enrolments: enrolments.size,
        shown,
        ...counted,
        capsReached: [...options.caps].filter(([device, cap]) => today.get(device) === cap).length,
        examples: Object.values(examples).flat(),
      };
    },
  };
}
