import { expect, it } from 'vitest';
import { judgeArrivals } from './arrivals.ts';

const message = (id: string, text: string) => ({ id, text });
const right = { arrived: [message('A', 'one'), message('B', 'two')], unreadable: [], askedAgain: 0 };

it('a right run has nothing doubled and nothing unreadable', () => {
  expect(judgeArrivals(right)).toEqual({ arrived: 2, doubled: 0, ratchetRegressions: 0 });
});

it.each([
  ['the same message twice', { ...right, arrived: [...right.arrived, message('B', 'two')] }, { doubled: 1 }],
  ['the same text under another id', { ...right, arrived: [...right.arrived, message('C', 'two')] }, { doubled: 1 }],
  ['three times is one message doubled', { ...right, arrived: ['A', 'B', 'C'].map((id) => message(id, 'one')) }, { doubled: 1 }],
  ['a message that the phone cannot read', { ...right, unreadable: [{ id: 'C' }] }, { doubled: 0, ratchetRegressions: 1 }],
  ['a message that the device cannot read', { ...right, askedAgain: 2 }, { doubled: 0, ratchetRegressions: 2 }],
])('planted: %s', (_what, arrivals, figures) => {
  expect(judgeArrivals(arrivals)).toMatchObject(figures);
});
