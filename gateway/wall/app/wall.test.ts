import { describe, expect, it } from 'vitest';
import { type Columns, createFleet, type FleetUpdate, type Totals } from './fleet.ts';
import { clockText, freshnessOf } from './freshness.ts';
import { INSET, largestPitch, layoutGrid } from './layout.ts';
import { LOOKS, lookOf } from './palette.ts';

const totals: Totals = { devices: 2, connected: 1, backlog: 0, sentPerMinute: 0, failedPerMinute: 0, states: [] };
const columns = (epoch: string, seq: number, devices: readonly (readonly [string, string, number])[]): Columns => ({
  epoch,
  seq,
  asOf: '2026-01-01T00:00:00Z',
  simulated: true,
  nodes: ['node-1', 'node-2'],
  ids: devices.map(([id]) => id),
  names: devices.map(([id]) => `name ${id}`),
  states: devices.map(([, state]) => state),
  nodeIndex: devices.map(([, , node]) => node),
  reasons: devices.map(() => null),
  totals,
});
const snapshot = (...args: Parameters<typeof columns>): FleetUpdate => ({ __typename: 'FleetSnapshot', ...columns(...args) });
const delta = (from: number, removed: readonly string[], ...args: Parameters<typeof columns>): FleetUpdate => ({
  __typename: 'FleetDelta',
  from,
  removed,
  ...columns(...args),
});

describe('fleet', () => {
  it('takes a snapshot, then deltas that join it', () => {
    const fleet = createFleet();
    expect(
      fleet.apply(
        snapshot('e', 10, [
          ['a', 'ONLINE', 0],
          ['b', 'OFFLINE', 1],
        ]),
        0,
      ),
    ).toBe(true);
    expect(fleet.apply(delta(10, ['b'], 'e', 12, [['a', 'SENDING', 1]]), 1)).toBe(true);
    expect([...fleet.rows.values()]).toMatchObject([{ id: 'a', state: 'SENDING', node: 'node-2', changedAt: 1 }]);
    expect(fleet.position).toEqual({ epoch: 'e', seq: 12 });
  });

  it('refuses a delta with a hole before it, of another epoch, or without a snapshot, and keeps what it has', () => {
    const fleet = createFleet();
    expect(fleet.apply(delta(0, [], 'e', 1, []), 0)).toBe(false);
    fleet.apply(snapshot('e', 10, [['a', 'ONLINE', 0]]), 0);
    expect(fleet.apply(delta(11, [], 'e', 12, [['a', 'OFFLINE', 0]]), 1)).toBe(false);
    expect(fleet.apply(delta(10, [], 'f', 11, [['a', 'OFFLINE', 0]]), 1)).toBe(false);
    expect(fleet.rows.get('a')?.state).toBe('ONLINE');
  });

  it('ignores what it already has', () => {
    const fleet = createFleet();
    fleet.apply(snapshot('e', 10, [['a', 'ONLINE', 0]]), 0);
    expect(fleet.apply(delta(5, [], 'e', 8, [['a', 'OFFLINE', 0]]), 1)).toBe(true);
    expect(fleet.rows.get('a')?.state).toBe('ONLINE');
  });

  it('tells nodes that are silent from those that speak', () => {
    const fleet = createFleet();
    fleet.apply(
      snapshot('e', 1, [
        ['a', 'ONLINE', 0],
        ['b', 'UNKNOWN', 0],
        ['c', 'UNKNOWN', 1],
        ['d', 'UNKNOWN', -1],
      ]),
      0,
    );
    expect(fleet.nodes()).toEqual({ speaking: 1, silent: 1 });
  });

  it('marks only what visibly changed', () => {
    const fleet = createFleet();
    fleet.apply(
      snapshot('e', 1, [
        ['a', 'ONLINE', 0],
        ['b', 'ONLINE', 0],
      ]),
      0,
    );
    fleet.apply(
      delta(1, [], 'e', 2, [
        ['a', 'ONLINE', 0],
        ['b', 'OFFLINE', 0],
      ]),
      500,
    );
    expect(fleet.rows.get('a')?.changedAt).toBeLessThan(0);
    expect(fleet.rows.get('b')?.changedAt).toBe(500);
  });
});

describe('freshness', () => {
  it('is live to 3 s, lagging to 10, stale to 30, then lost', () => {
    expect([null, 0, 3000, 3001, 10_001, 30_001].map(freshnessOf)).toEqual(['CONNECTING', 'LIVE', 'LIVE', 'LAGGING', 'STALE', 'LOST']);
  });
  it('writes ages as clocks', () => {
    expect([0, 42_000, 61_000, 3_723_000].map(clockText)).toEqual(['00:00', '00:42', '01:01', '1:02:03']);
  });
});

describe('layout', () => {
  it.each([
    [300, 2],
    [3000, 3],
    [8000, 5],
    [30_000, 7],
  ])('places %i devices on %i nodes with no tile outside its block', (devices, nodes) => {
    const counts = new Map(Array.from({ length: nodes }, (_, index) => [`node-${index}`, Math.ceil(devices / nodes)]));
    const layout = layoutGrid(counts, 1336, 768, 52);
    expect(layout.blocks).toHaveLength(nodes);
    for (const block of layout.blocks) {
      const rows = Math.ceil((counts.get(block.node) ?? 0) / block.columns);
      expect(2 * INSET + block.columns * layout.pitch).toBeLessThanOrEqual(block.width);
      expect(52 + INSET + rows * layout.pitch).toBeLessThanOrEqual(block.height);
      expect(block.x + block.width).toBeLessThanOrEqual(1336);
      expect(block.y + block.height).toBeLessThanOrEqual(768);
    }
  });
  it('keeps the block of a node without devices', () => {
    expect(
      layoutGrid(
        new Map([
          ['a', 10],
          ['b', 0],
        ]),
        800,
        400,
        52,
      ).blocks.map((block) => block.node),
    ).toEqual(['a', 'b']);
  });
  it('says 0 when nothing fits', () => {
    expect(largestPitch(1_000_000, 100, 100)).toBe(0);
  });
});

describe('palette', () => {
  it('shows a state it does not know as unknown', () => {
    expect(lookOf('BRAND_NEW')).toBe(LOOKS['UNKNOWN']);
  });
  it('never gives two states the same fill and glyph', () => {
    const looks = Object.values(LOOKS).map((look) => `${look.fill}/${look.glyph}`);
    expect(new Set(looks).size).toBe(looks.length);
  });
});
