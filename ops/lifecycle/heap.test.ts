import { describe, expect, it } from 'vitest';
import type { Clock } from './clock.ts';
import { keepHeapSmall } from './heap.ts';

describe('the heap of a process', () => {
  it('is kept small while there is time, and left alone once there has been none for some seconds', () => {
    let next: (() => void) | undefined;
    const clock: Clock = {
      wall: () => 0,
      monotonic: () => 0,
      after(_ms, task) {
        next = task;
        return () => {
          next = undefined;
        };
      },
      sleep: async () => {},
    };
    let busy = 0.1;
    const said: number[] = [];
    const end = keepHeapSmall({ clock, busy: () => busy, grow: (percent) => said.push(percent) });
    for (const share of [0.2, 0.9, 0.9, 0.9, 0.9, 0.3, 0.9, 0.9, 0.9, 0.9]) {
      busy = share;
      next?.();
    }
    expect(said).toEqual([25]);
    next?.();
    expect(said).toEqual([25, 0]);
    busy = 0.3;
    next?.();
    expect(said).toEqual([25, 0, 25]);
    end();
    expect(next).toBeUndefined();
  });
});
