import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isAlive, startTime, tryLock, withLock } from './lock.mjs';

const home = mkdtempSync(join(tmpdir(), 'flotilla-lock-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const NOBODY = 2 ** 22 - 1;

describe('a lock file', () => {
  it('is held by a living process and names it', () => {
    const path = join(home, 'held');
    writeFileSync(path, `1 ${startTime(1)}\n`);
    expect(tryLock(path)).toBe(1);
  });
  it('of a dead process is taken over', () => {
    const path = join(home, 'dead');
    writeFileSync(path, `${NOBODY} 1\n`);
    expect(tryLock(path)).toBeUndefined();
    expect(readFileSync(path, 'utf8')).toContain(String(process.pid));
  });
  it('is taken over when the pid was given to another process', () => {
    const path = join(home, 'reused');
    writeFileSync(path, '1 999999999999\n');
    expect(tryLock(path)).toBeUndefined();
  });
  it('lets one task in at a time and is given back after a failure', async () => {
    const path = join(home, 'turns');
    await expect(withLock(path, () => Promise.reject(new Error('x')))).rejects.toThrow('x');
    expect(await withLock(path, async () => readFileSync(path, 'utf8').startsWith(`${process.pid} `))).toBe(true);
  });
  it('tells living from dead', () => {
    expect([isAlive(process.pid, startTime(process.pid)), isAlive(NOBODY, ''), isAlive(0, ''), isAlive(1, '')]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});
