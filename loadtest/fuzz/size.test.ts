import { describe, expect, it } from 'vitest';
import { figureOf, growth, type Size } from './size.ts';

const SIZE: Size = { residentMb: 200, heapMb: 50, handles: 40, sockets: 0, operations: 0 };

describe('what a gateway holds', () => {
  it('reads a metric over all its labels, or those asked for', () => {
    const text =
      '# HELP x\nflotilla_sockets{kind="graphql"} 3\nflotilla_sockets{kind="link"} 4\nflotilla_sockets_more 9\nflotilla_groups 2 17\n';
    expect(figureOf(text, 'flotilla_sockets')).toBe(7);
    expect(figureOf(text, 'flotilla_sockets', 'kind="link"')).toBe(4);
    expect(figureOf(text, 'flotilla_groups')).toBe(2);
    expect(figureOf(text, 'flotilla_absent')).toBe(0);
  });
  it.each<[Partial<Size>, number]>([
    [{}, 0],
    [{ residentMb: 290, heapMb: 140, handles: 60 }, 0],
    [{ residentMb: 301 }, 1],
    [{ heapMb: 151 }, 1],
    [{ handles: 71 }, 1],
    [{ sockets: 1 }, 1],
    [{ operations: 1, sockets: 1 }, 2],
  ])('%o after a run is %i kinds of growth', (after, faults) => {
    expect(growth(SIZE, { ...SIZE, ...after })).toHaveLength(faults);
  });
});
