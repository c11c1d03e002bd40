import { describe, expect, it } from 'vitest';
import { faultless, judge, type Message } from './judge.ts';

/** three messages for each of two devices, in turns */
const messages: Message[] = ['a1', 'b1', 'a2', 'b2', 'a3', 'b3'].map((id) => ({ id, device: id.charAt(0) }));
const judged = (arrivals: readonly Message[]) => judge(messages, arrivals);
const at = (place: number): Message => messages[place] ?? { id: '', device: '' };

describe('the judge of a run', () => {
  it('finds nothing where every message came once, in the order of its device', async () => {
    const verdict = await judged([at(1), at(0), at(2), at(4), at(3), at(5)]);
    expect(verdict).toEqual({ arrived: 6, lost: 0, doubled: 0, disordered: 0, unexpected: 0 });
    expect(faultless(verdict)).toBe(true);
  });

  it.each([
    ['a lost message', messages.slice(0, 5), { lost: 1 }],
    ['a doubled message', [...messages, at(0)], { doubled: 1 }],
    ['a repeat at once', [at(0), ...messages], { doubled: 1 }],
    ['two messages of a device in the wrong order', [at(2), at(0), at(4), at(1), at(3), at(5)], { disordered: 1 }],
    ['a message that nobody made', [...messages, { id: 'c1', device: 'a' }], { unexpected: 1 }],
    ["a message at another device's phone", [...messages.slice(0, 5), { id: 'b3', device: 'a' }], { unexpected: 1, lost: 1 }],
    ['one lost and one doubled, whose counts balance', [...messages.slice(0, 5), at(0)], { lost: 1, doubled: 1 }],
    ['no message at all', [], { lost: 6 }],
  ])('finds %s', async (_what, arrivals, faults) => {
    const verdict = await judged(arrivals);
    expect(verdict).toMatchObject({ lost: 0, doubled: 0, disordered: 0, unexpected: 0, ...faults });
    expect(faultless(verdict)).toBe(false);
  });
});
