import { describe, expect, it } from 'vitest';
import { createChangeCursor } from './changes.ts';

/**
 * 3,000 devices made at one stroke were read again every second for as long as nothing newer changed: the overlap hung on the newest change,
 * not on time.
 */
describe('the cursor of changes', () => {
  const at = { now: 100 };
  const cursor = createChangeCursor({ monotonic: () => at.now }, 5000);

  it('overlaps until everything up to the newest change must be visible, then asks for newer ones only', () => {
    cursor.restart(50_000);
    expect(cursor.since()).toBe(45_000);
    cursor.answered([60_000, 59_000]);
    at.now += 4999;
    expect(cursor.since()).toBe(55_000);
    cursor.answered([60_000]);
    // this long after it was seen, but not asked since: one more question overlaps
    at.now += 1;
    expect(cursor.since()).toBe(55_000);
    cursor.answered([60_000, 58_000]);
    expect(cursor.since()).toBe(60_001);
    cursor.answered([]);
    expect(cursor.since()).toBe(60_001);
  });

  it('overlaps again behind a newer change: others may still commit before it', () => {
    cursor.answered([60_400]);
    expect(cursor.since()).toBe(55_400);
  });

  it('never asks for a time before the epoch', () => {
    const fresh = createChangeCursor({ monotonic: () => 0 }, 5000);
    expect(fresh.since()).toBe(0);
  });
});
