import { describe, expect, it } from 'vitest';
import { type CheckOptions, createFlowCheck, FLOW_FAULTS, type FlowVerdict } from './check.ts';

/** Each fault is planted into a run that is right; the check must find it and nothing else. */
const OPTIONS: CheckOptions = {
  flows: [
    { no: 1, steps: 2, everybody: true, next: 2, cancelled: false },
    { no: 2, steps: 1, everybody: false, next: null, cancelled: false },
  ],
  caps: new Map([['capped', 1]]),
  paceMinMs: 100,
  stops: new Map([['+3', 1000]]),
  stopGraceMs: 500,
};
type Message = { id: string; device: string; state: string; flow: number; lead: number; step: number; intent_at: number };
type Enrolment = { flow: number; lead: number; step: number; cause: string | null; device: string; phone: string };
const message = (id: string, flow: number, lead: number, step: number, at: number, device = 'd'): Message => ({
  id,
  device,
  state: 'SENT',
  flow,
  lead,
  step,
  intent_at: at,
});
const rightRun = () => ({
  leads: [1, 2, 3, 4],
  // lead 1 goes all the way; lead 2 sits on a device at its cap; lead 3 said stop after its first step; lead 4 goes all the way
  messages: [
    message('a1', 1, 1, 1, 0),
    message('a2', 1, 1, 2, 200),
    message('a3', 2, 1, 1, 400),
    message('b1', 1, 2, 1, 0, 'capped'),
    message('c1', 1, 3, 1, 600),
    message('d1', 1, 4, 1, 800),
    message('d2', 1, 4, 2, 1000),
    message('d3', 2, 4, 1, 1200),
  ],
  enrolments: [
    { flow: 1, lead: 1, step: 3, cause: 'DONE', device: 'd', phone: '+1' },
    { flow: 2, lead: 1, step: 2, cause: 'DONE', device: 'd', phone: '+1' },
    { flow: 1, lead: 2, step: 2, cause: null, device: 'capped', phone: '+2' },
    { flow: 1, lead: 3, step: 2, cause: 'SUPPRESSED', device: 'd', phone: '+3' },
    { flow: 1, lead: 4, step: 3, cause: 'DONE', device: 'd', phone: '+4' },
    { flow: 2, lead: 4, step: 2, cause: 'DONE', device: 'd', phone: '+4' },
  ] as Enrolment[],
  arrivals: ['a1', 'b1', 'a2', 'a3', 'c1', 'd1', 'd2', 'd3'],
  late: 0,
});
type Run = ReturnType<typeof rightRun>;

function judged(change: (run: Run) => void = () => {}): FlowVerdict {
  const run = rightRun();
  change(run);
  const check = createFlowCheck(OPTIONS);
  for (const lead of run.leads) check.lead(lead, `+${lead}`);
  for (const row of run.messages) check.message(row);
  for (const row of run.enrolments) check.enrolment(row);
  for (const id of run.arrivals) {
    const row = run.messages.find((one) => one.id === id);
    if (row === undefined) throw new Error(id);
    const at = row.intent_at + 50 + (id === 'c1' ? run.late : 0);
    check.arrival({ device: row.device, id, wire: id, epoch: 1, node: 'n', attempt: 1, repeat: false, at, to: `+${row.lead}` });
  }
  return check.verdict();
}
const found = (verdict: FlowVerdict): string[] => FLOW_FAULTS.filter((figure) => verdict[figure] > 0);

describe('the check of a campaign run', () => {
  it('finds nothing in a right run', () => {
    const verdict = judged();
    expect(found(verdict)).toEqual([]);
    expect(verdict).toMatchObject({ leads: 4, enrolments: 6, shown: 8, capsReached: 1, examples: [] });
  });
  it.each<readonly [string, (run: Run) => void, readonly string[]]>([
    [
      'a step made twice under two ids',
      (run) => {
        run.messages.push(message('a9', 1, 1, 1, 5000));
        run.arrivals.push('a9');
      },
      ['doubled'],
    ],
    ['a step that never arrived', (run) => void run.arrivals.splice(run.arrivals.indexOf('a3'), 1), ['missing']],
    ['an enrolment that failed', (run) => Object.assign(run.enrolments[5] as Enrolment, { cause: 'DEAD' }), ['missing']],
    [
      'a suppressed enrolment of nobody who said stop',
      (run) => Object.assign(run.enrolments[5] as Enrolment, { cause: 'SUPPRESSED' }),
      ['missing'],
    ],
    ['a lead that was not enrolled', (run) => void run.leads.push(5), ['absent']],
    ['a lead that did not go on', (run) => void run.enrolments.splice(1, 1), ['absent']],
    ['steps in the wrong order', (run) => void run.arrivals.splice(0, 3, 'a2', 'b1', 'a1'), ['steps']],
    ['a chained flow before its predecessor is through', (run) => void run.arrivals.splice(2, 2, 'a3', 'a2'), ['steps']],
    [
      'somebody who said stop',
      (run) => {
        run.late = 2000;
      },
      ['suppressed'],
    ],
    [
      'a device above its cap',
      (run) => {
        run.messages.push(message('b2', 1, 2, 2, 5000, 'capped'));
        run.arrivals.push('b2');
      },
      ['overCap'],
    ],
    ['a device that hurries', (run) => Object.assign(run.messages[1] as Message, { intent_at: 90 }), ['hurried']],
    ['an enrolment that stands still', (run) => Object.assign(run.enrolments[5] as Enrolment, { cause: null }), ['unfinished']],
  ])('finds %s', (_name, plant, wanted) => expect(found(judged(plant))).toEqual(wanted));
});
