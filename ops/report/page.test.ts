import { describe, expect, it } from 'vitest';
import { held, page, type Written } from './page.ts';

const run = (name: string, more: Partial<Written> = {}): Written => ({
  name,
  ok: true,
  figures: { lost: 0, ms: 10 },
  targets: { lost: 0 },
  machine: { cpu: 'x', cores: 2, memoryGb: 4, kernel: '6', node: 'v20' },
  at: '2026-11-21T06:40:06.132Z',
  command: `npm run ${name}`,
  ...more,
});

describe('the results page', () => {
  it.each([
    [0, 0, true],
    [1, 0, false],
    [null, 5, false],
    [5, 5, true],
    [0, '> 0', false],
    [1, '> 0', true],
    [499, '>= 500 (long runs)', false],
    [500, '>= 500 (long runs)', true],
    [50.1, '<= 50', false],
    [50, '<=50', true],
    [null, '<= 50', false],
    [true, true, true],
    [false, true, false],
    [7, 'at most something', undefined],
    [7, undefined, undefined],
  ])('%s against %s: %s', (value, target, expected) => {
    expect(held(value, target)).toBe(expected);
  });

  it('says first what was missed, marks what is simulated, and keeps the rows', () => {
    const text = page('Results', 'How.', [
      run('chaos all', {
        ok: false,
        figures: { lost: 2 },
        rows: [
          ['fault', 'lost'],
          ['kill | x', 2],
        ],
        notes: { kill: 'SIGKILL' },
      }),
      run('sim'),
      run('chaos kill', { ok: false }),
    ]);
    expect(text).toContain('| chaos all | MISSED: lost | 2026-11-21 06:40 UTC |');
    expect(text).toContain('| sim | held | 2026-11-21 06:40 UTC |');
    expect(text).toContain('| chaos kill | MISSED: see the rows |');
    expect(text).toContain('| lost | 2 | 0 | MISSED |');
    expect(text).toContain('| kill \\| x | 2 |');
    expect(text).toContain('- `kill`: SIGKILL');
    expect(text).toContain('SIMULATED');
    expect(text).toContain('`npm run sim`');
    expect(text).toContain('ms 10');
  });
});
