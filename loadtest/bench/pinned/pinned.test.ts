import { describe, expect, it } from 'vitest';
import { judged, wantedOf } from './index.ts';

const spent = (ms: number) => ({ of: { gateway: ms, 'node-1': ms, 'node-2': ms, postgres: ms }, machine: 4 * ms });
const seen = (late: readonly number[], more: { nodes?: number; wrong?: number; cpuMs?: number; refused?: number } = {}) =>
  judged({
    wanted: { devices: 10, seconds: 60 },
    window: {
      fromWall: 0,
      toWall: 60_000,
      tookMs: 60_000,
      before: spent(0),
      after: spent(more.cpuMs ?? 6000),
      rss: { gateway: 100e6, nodes: more.nodes ?? 200e6 },
    },
    late,
    wrong: more.wrong ?? 0,
    told: { accepted: 200, refused: more.refused ?? 0, refusal: '', answers: [1, 2] },
  });
const right = Array.from({ length: 200 }, (_, n) => (n < 190 ? 10 : 90));

describe('what the fleet at its pace is judged by', () => {
  it('adds up the gateway and the nodes', () => {
    const { ok, figures } = seen(right);
    expect(figures).toMatchObject({ 'sent a minute': 200, 'due to device ms p99': 90, 'gateway and nodes cores': 0.3, 'nodes cores': 0.2 });
    expect(ok).toBe(true);
  });

  it.each([
    ['messages that come late', seen(right.map((ms) => ms + 20))],
    ['fewer than the pace allows', seen(right.slice(20))],
    ['too much memory', seen(right, { nodes: 401e6 })],
    ['more than a core', seen(right, { cpuMs: 21_000 })],
    ['a message doubled', seen(right, { wrong: 1 })],
    ['a refusal', seen(right, { refused: 1 })],
  ])('is not ok with %s', (_what, { ok }) => {
    expect(ok).toBe(false);
  });

  it('knows its sizes', () => {
    expect(wantedOf(['seconds', '20'])).toEqual({ devices: 3000, seconds: 20 });
    expect(() => wantedOf(['seconds', '0'])).toThrow('--seconds: expected a whole number from 1');
  });
});
