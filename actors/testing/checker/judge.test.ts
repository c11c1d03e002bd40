import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededDice } from '../../../ops/lifecycle/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import { createJudge, FAULT_FIGURES, type FaultFigure, type LedgerRow, readArrivals, type Verdict, watchTakeover } from './index.ts';

interface Run {
  rows: LedgerRow[];
  answered: string[];
  arrivals: Arrival[];
}

/** A right run: two nodes, a takeover of every device in its middle, and one repeat per device at it. */
function rightRun(seed: number): Run {
  const dice = seededDice(seed);
  const run: Run = { rows: [], answered: [], arrivals: [] };
  for (let n = 1; n <= 20; n++) {
    for (const device of ['d1', 'd2', 'd3']) {
      const lane = dice.next() < 0.7 ? 'high' : 'normal';
      const row: LedgerRow = { id: `${device}-${n}`, device, lane, seq: n, state: 'READ' };
      const arrival: Arrival = {
        device,
        id: row.id,
        wire: `w-${row.id}`,
        epoch: n <= 10 ? 1 : 2,
        node: n <= 10 ? 'node-1' : 'node-2',
        attempt: 1,
        repeat: false,
        at: 1000 * n,
        to: '+14155550100',
      };
      run.rows.push(row);
      run.answered.push(row.id);
      run.arrivals.push(arrival);
      if (n === 10) run.arrivals.push({ ...arrival, epoch: 2, node: 'node-2', attempt: 2, repeat: true, at: 10_500 });
    }
  }
  return run;
}
function judged(run: Run): Verdict {
  const judge = createJudge();
  for (const row of run.rows) judge.ledger(row);
  for (const id of run.answered) judge.answered(id);
  for (const arrival of run.arrivals) judge.arrival(arrival);
  return judge.verdict();
}
/** the fault figures that are not 0 */
const found = (verdict: Verdict): Partial<Record<FaultFigure, number>> =>
  Object.fromEntries(FAULT_FIGURES.filter((figure) => verdict[figure] > 0).map((figure) => [figure, verdict[figure]]));
const at = (run: Run, id: string): number => run.arrivals.findIndex((arrival) => arrival.id === id);
function change(run: Run, id: string, to: Partial<Arrival>): void {
  const place = at(run, id);
  const arrival = run.arrivals[place];
  if (arrival !== undefined) run.arrivals[place] = { ...arrival, ...to };
}
function state(run: Run, id: string, to: LedgerRow['state']): void {
  run.rows = run.rows.map((row) => (row.id === id ? { ...row, state: to } : row));
}
function drop(run: Run, id: string): void {
  run.arrivals = run.arrivals.filter((arrival) => arrival.id !== id);
}

describe('the judge', () => {
  it('finds nothing in a right run, and counts repeats apart', () => {
    for (let seed = 0; seed < 20; seed++) {
      const verdict = judged(rightRun(seed));
      expect(found(verdict)).toEqual({});
      expect(verdict).toMatchObject({ accepted: 60, arrived: 60, arrivals: 63, repeats: 3, recovered: 3 });
    }
  });

  const plants: readonly [string, (run: Run) => void, Partial<Record<FaultFigure, number>>][] = [
    [
      'a message that never arrived',
      (run) => {
        drop(run, 'd2-7');
        state(run, 'd2-7', 'QUEUED');
      },
      { lost: 1 },
    ],
    ['a message said to be read that no phone has', (run) => drop(run, 'd2-7'), { lost: 1, ghosts: 1 }],
    [
      'a dead message that no phone has',
      (run) => {
        drop(run, 'd1-1');
        state(run, 'd1-1', 'DEAD');
      },
      { lost: 1 },
    ],
    ['an answer the ledger forgot', (run) => void run.answered.push('d9-1'), { forgotten: 1 }],
    ['one id shown twice', (run) => void run.arrivals.push({ ...run.arrivals[at(run, 'd1-20')], attempt: 2 } as Arrival), { doubled: 1 }],
    [
      'one id under two wire ids',
      (run) => void run.arrivals.push({ ...run.arrivals[at(run, 'd1-20')], wire: 'other', repeat: false } as Arrival),
      { doubled: 1 },
    ],
    [
      'a second wire id that the phone calls a repeat',
      (run) => void run.arrivals.push({ ...run.arrivals[at(run, 'd1-20')], wire: 'other', repeat: true } as Arrival),
      { doubled: 1 },
    ],
    [
      'an arrival nobody accepted',
      (run) => void run.arrivals.push({ ...run.arrivals[at(run, 'd1-20')], id: 'x', wire: 'x' } as Arrival),
      { unexpected: 1 },
    ],
    ['an arrival at another phone', (run) => change(run, 'd3-20', { device: 'd1' }), { unexpected: 1, lost: 1, ghosts: 1 }],
    ['an epoch that falls', (run) => change(run, 'd1-15', { epoch: 1, node: 'node-1' }), { epochFalls: 1 }],
    [
      'a repeat by a stale owner',
      (run) => void run.arrivals.push({ ...run.arrivals[at(run, 'd1-3')], repeat: true } as Arrival),
      { epochFalls: 1 },
    ],
    ['two nodes under one epoch', (run) => change(run, 'd1-15', { node: 'node-1' }), { sharedEpochs: 1 }],
    ['an arrival the ledger denies', (run) => state(run, 'd1-4', 'CANCELLED'), { denied: 1 }],
    ['an arrival the ledger left open', (run) => state(run, 'd1-4', 'UNKNOWN'), { open: 1 }],
  ];
  it.each(plants)('finds %s', (_what, plant, expected) => {
    const run = rightRun(1);
    plant(run);
    const verdict = judged(run);
    expect(found(verdict)).toEqual(expected);
    expect(verdict.examples.length).toBe(Object.values(expected).reduce((sum, count) => sum + count, 0));
  });

  it('tells a stale send that a person was shown from one that the phone dropped', () => {
    const run = rightRun(1);
    const old = run.arrivals[at(run, 'd1-3')] as Arrival;
    run.arrivals.push({ ...old, repeat: true });
    expect(judged(run)).toMatchObject({ epochFalls: 1, staleShown: 0 });
    change(run, 'd1-15', { epoch: 1, node: 'node-1' });
    expect(judged(run)).toMatchObject({ epochFalls: 2, staleShown: 1 });
  });

  it('finds two messages of one lane that changed places, and lets lanes overtake each other', () => {
    const run = rightRun(1);
    run.rows = run.rows.map((row) => ({ ...row, lane: row.seq === 5 ? 'normal' : 'high' }));
    const five = run.arrivals[at(run, 'd1-5')] as Arrival;
    drop(run, 'd1-5');
    run.arrivals.push({ ...five, epoch: 2, node: 'node-2' });
    expect(found(judged(run))).toEqual({});
    const six = run.arrivals[at(run, 'd1-6')] as Arrival;
    drop(run, 'd1-6');
    run.arrivals.splice(at(run, 'd1-8') + 1, 0, six);
    expect(found(judged(run))).toEqual({ order: 1 });
  });

  it('takes a message that ended without going for what it is', () => {
    const run = rightRun(1);
    for (const [id, end] of [
      ['d1-4', 'CANCELLED'],
      ['d1-5', 'SUPPRESSED'],
      ['d1-6', 'FAILED'],
    ] as const) {
      drop(run, id);
      state(run, id, end);
    }
    expect(found(judged(run))).toEqual({});
    expect(judged(run)).toMatchObject({ accepted: 60, arrived: 57 });
  });
});

describe('takeover times', () => {
  it('run from the fault to the first arrival under a higher epoch, and name devices nobody serves', () => {
    const watch = watchTakeover(
      new Map([
        ['d1', 1],
        ['d2', 1],
        ['d9', 4],
      ]),
      10_000,
    );
    for (const arrival of rightRun(1).arrivals) watch.arrival(arrival);
    expect(watch.result()).toEqual({ devices: 3, missing: 1, medianMs: 500, p99Ms: 500, maxMs: 500 });
    expect(watch.times()).toEqual([500, 500]);
  });
});

describe("the phones' file", () => {
  it('is read in order, and a torn last line is left out', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'judge-'));
    const path = join(folder, 'arrivals.ndjson');
    const { arrivals } = rightRun(1);
    writeFileSync(path, `${arrivals.map((arrival) => JSON.stringify(arrival)).join('\n')}\n{"device":"d1","id":"to`);
    const read: Arrival[] = [];
    for await (const arrival of readArrivals(path)) read.push(arrival);
    expect(read).toEqual(arrivals);
    rmSync(folder, { recursive: true });
  });
});
