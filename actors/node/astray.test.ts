import { describe, expect, it } from 'vitest';
import { LANES, type Lane } from '../../schema/domain/index.ts';
import type { OwnerRef } from '../device/index.ts';
import { createAstray } from './astray.ts';

/** Ledger: open seqs per device and lane. `holds`: what the mailbox has, by device, lane and seq. */
function stage(count: number) {
  const devices = Array.from({ length: count }, (_, n): OwnerRef => ({ deviceId: `d${n}`, partition: n % 3, epoch: 2 }));
  const open = new Map<string, number[]>();
  const holds = new Set<string>();
  const said: string[] = [];
  const restarted: string[] = [];
  const asked = { nextSeqs: 0, refill: 0, astray: 0 };
  let between = (): void => {};
  const check = createAstray({
    owned: () => devices,
    statements: {
      async nextSeqs(ids) {
        asked.nextSeqs += 1;
        return ids.flatMap((deviceId) => {
          const hasOpen = LANES.some((lane) => (open.get(`${deviceId} ${lane}`) ?? []).length > 0);
          return LANES.map((lane) => ({ deviceId, lane, nextSeq: lane === 'control' ? 1 : 9, hasOpen }));
        });
      },
      async refill(asks, limit) {
        asked.refill += 1;
        return asks.flatMap(({ deviceId, lane }) =>
          (open.get(`${deviceId} ${lane}`) ?? [])
            .slice(0, limit)
            .map((seq) => ({ deviceId, lane, seq, messageId: 'm', traceparent: null })),
        );
      },
    },
    mailbox: {
      async astray(lanes) {
        asked.astray += 1;
        const answers = lanes.map(({ deviceId, lane, seq }) => !holds.has(`${deviceId} ${LANES[lane]} ${seq}`));
        between();
        return answers;
      },
    },
    telemetry: {
      count: (name) => void said.push(name),
      log: { debug() {}, info() {}, error() {}, warn: (event) => void said.push(event) },
    },
    restart: ({ deviceId }, lanes) => void restarted.push(`${deviceId} ${lanes.map((lane) => LANES[lane]).join()}`),
  });
  return {
    check,
    said,
    restarted,
    asked,
    open: (deviceId: string, lane: Lane, seqs: number[], held: number[] = seqs): void => {
      open.set(`${deviceId} ${lane}`, seqs);
      for (const seq of held) holds.add(`${deviceId} ${lane} ${seq}`);
    },
    meanwhile: (task: () => void): void => {
      between = task;
    },
  };
}

describe('messages that no mailbox holds', () => {
  it('are found by the oldest open one of a lane, said once and put back', async () => {
    const s = stage(4);
    s.open('d0', 'normal', [1], []);
    s.open('d1', 'high', [3, 4], [4]);
    s.open('d2', 'normal', [5]);
    expect(await s.check()).toBe(2);
    expect(s.restarted).toEqual(['d0 normal', 'd1 high']);
    expect(s.said).toEqual(['mailbox.astray', 'mailbox.astray', 'mailbox.astray', 'mailbox.astray']);
  });
  it('are not those that ended while the mailbox was asked', async () => {
    const s = stage(1);
    s.open('d0', 'normal', [1], []);
    s.meanwhile(() => s.open('d0', 'normal', [2], []));
    expect(await s.check()).toBe(0);
    expect(s.restarted).toEqual([]);
    expect(s.said).toEqual([]);
  });
  it('cost nothing where nothing is open, and few questions where much is', async () => {
    const s = stage(1200);
    expect(await s.check()).toBe(0);
    expect(s.asked).toEqual({ nextSeqs: 3, refill: 0, astray: 0 });
    for (let n = 0; n < 1200; n++) s.open(`d${n}`, 'high', [n + 1, n + 2]);
    expect(await s.check()).toBe(0);
    expect(s.asked).toEqual({ nextSeqs: 6, refill: 3, astray: 3 });
  });
});
