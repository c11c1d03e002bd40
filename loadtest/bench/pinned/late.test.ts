import { describe, expect, it } from 'vitest';
import { dueTimes } from './late.ts';

describe('when a message is due', () => {
  it('is when the pace allows it, and not before it was accepted', () => {
    const due = dueTimes(
      [
        { id: 'a1', device: 'a', acceptedAt: 1000, intentAt: 1010 },
        { id: 'b1', device: 'b', acceptedAt: 1500, intentAt: 1600 },
        { id: 'a2', device: 'a', acceptedAt: 2000, intentAt: 4015 },
        { id: 'a3', device: 'a', acceptedAt: 8000, intentAt: null },
      ],
      3000,
    );
    expect(Object.fromEntries(due)).toEqual({ a1: 1000, b1: 1500, a2: 4010, a3: 8000 });
  });
});
