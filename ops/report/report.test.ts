import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { finish, table } from './index.ts';

describe('report', () => {
  afterEach(() => {
    process.exitCode = 0;
  });

  it('aligns names to the left and numbers to the right, and shows what was not measured', () => {
    expect(
      table([
        ['fault', 'lost', 'ms'],
        ['kill', 0, 5321.5],
        ['flush', 12, null],
      ]),
    ).toBe('fault  lost      ms\nkill      0  5321.5\nflush    12       —');
  });

  it('ends with one JSON object and the exit code, and writes the same to the file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'report-'));
    const file = join(folder, 'result.json');
    const parts: string[] = [];
    finish(
      { name: 'smoke', ok: false, figures: { lost: 1 }, targets: { lost: 0 }, command: `npm run chaos -- smoke --json ${file} --runs 2` },
      { write: (part) => void parts.push(part), jsonFile: file },
    );
    const text = parts.join('');
    expect(JSON.parse(text)).toMatchObject({
      name: 'smoke',
      ok: false,
      figures: { lost: 1 },
      targets: { lost: 0 },
      command: 'npm run chaos -- smoke --runs 2',
      machine: { cores: expect.any(Number) },
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect(process.exitCode).toBe(1);
    rmSync(folder, { recursive: true });
  });
});
