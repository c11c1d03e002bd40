import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { uuidV7 } from '../../../schema/domain/index.ts';
import type { Arrival } from '../../transports/simulator/index.ts';
import type { LedgerRow } from '../checker/index.ts';
import { allFaults } from './faults/index.ts';
import { arrivalsOf, type Scene } from './scene.ts';
import { judgeSegments, type Segment, segmentAt } from './segment.ts';

const BASE = 1_800_000_000_000;
const [fault] = allFaults();
if (fault === undefined) throw new Error('no faults');
const segment = (from: number, strikes: Segment['strikes'] = []): Segment => ({
  fault,
  strikes,
  from,
  loadedUntil: from + 5000,
  answers: { times: [], broken: 0, givenUp: 0, retries: 0 },
  fenced: 0,
  unowned: 0,
  drained: true,
  tookMs: 1,
});

describe('the segments of a stack', () => {
  let folder: string;
  const rows: LedgerRow[] = [];
  const arrivals: Arrival[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'segments-'));
    rows.length = 0;
    arrivals.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const message = (acceptedAt: number, seq: number, epoch: number): Arrival => {
    const id = uuidV7(acceptedAt);
    rows.push({ id, device: 'd', lane: 'high', seq, state: 'READ' });
    const arrival: Arrival = {
      device: 'd',
      id,
      wire: id,
      epoch,
      node: `node-${epoch}`,
      attempt: 1,
      repeat: false,
      at: acceptedAt + 10,
      to: '+14155550100',
    };
    arrivals.push(arrival);
    return arrival;
  };
  const judged = (segments: readonly Segment[], until?: number) => {
    writeFileSync(arrivalsOf(folder), arrivals.map((arrival) => `${JSON.stringify(arrival)}\n`).join(''));
    const scene = {
      folder,
      ledger: {
        rows: async (each: (row: LedgerRow) => void) => {
          for (const row of rows) each(row);
        },
      },
      sender: { answered: new Set(rows.map(({ id }) => id)) },
    } as unknown as Scene;
    return judgeSegments(scene, segments, 1, until);
  };

  it('begin where they say', () => {
    expect([5, 10, 15, 20, 99].map((at) => segmentAt([10, 20], at))).toEqual([-1, 0, 0, 1, 1]);
  });

  it('own what was accepted in them, and a fault in one is not seen in the other', async () => {
    message(BASE + 100, 1, 1);
    message(BASE + 200, 2, 1);
    message(BASE + 10_100, 3, 2);
    const doubled = message(BASE + 10_200, 4, 2);
    arrivals.push({ ...doubled, at: doubled.at + 5 });
    const { each, across } = await judged([segment(BASE), segment(BASE + 10_000)]);
    expect(each.map(({ verdict }) => [verdict.accepted, verdict.doubled])).toEqual([
      [2, 0],
      [2, 1],
    ]);
    expect(across).toEqual({});
  });

  it('find a late stale send of an earlier segment only as a whole, and say so', async () => {
    const early = message(BASE + 100, 1, 1);
    message(BASE + 10_100, 2, 2);
    arrivals.push({ ...early, repeat: true, at: BASE + 10_500 });
    const { each, across } = await judged([segment(BASE), segment(BASE + 10_000)]);
    expect(each.map(({ verdict }) => verdict.epochFalls)).toEqual([0, 0]);
    expect(across).toEqual({ epochFalls: 1 });
  });

  it("end where a fault broke off: what came after is nobody's", async () => {
    message(BASE + 100, 1, 1);
    const lost = message(BASE + 5100, 2, 1);
    arrivals.splice(arrivals.indexOf(lost), 1);
    const { each, across } = await judged([segment(BASE)], BASE + 5000);
    expect(each.map(({ verdict }) => [verdict.accepted, verdict.lost])).toEqual([[1, 0]]);
    expect(across).toEqual({});
    expect((await judged([segment(BASE)])).each[0]?.verdict.lost).toBe(1);
  });

  it('leave out what was meant to fail, and time what a strike did to each device', async () => {
    const spared = message(BASE + 50, 1, 1);
    rows[0] = { ...(rows[0] as LedgerRow), device: 'poison', state: 'DEAD' };
    arrivals.splice(arrivals.indexOf(spared), 1);
    const late = message(BASE + 300, 1, 2);
    arrivals[0] = { ...late, at: BASE + 1500 };
    const strike = { at: BASE + 200, healedAt: BASE + 1000, owned: new Map([['d', 1]]), spared: ['poison'] };
    const { each } = await judged([segment(BASE, [strike])]);
    expect(each[0]).toMatchObject({
      verdict: { accepted: 1, lost: 0 },
      takeover: { strikes: 1, devices: 1, missing: 0, times: [1300] },
      gaps: [1200],
      backs: [500],
    });
  });
});
