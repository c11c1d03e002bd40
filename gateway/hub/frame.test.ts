import { expect, it } from 'vitest';
import { createFrame, createHeads, headOf } from './frame.ts';

it('gives each reader its own id over the same payload, whatever was asked for before', () => {
  const payload = { data: { text: 'ü😀' } };
  const frame = createFrame(payload);
  const headFor = createHeads();
  for (const id of ['1', '1', '22', '1', '"\\', 'x'.repeat(64), '1', '\u0000'.repeat(64), '22']) {
    const said = JSON.parse(Buffer.from(frame.bytesFor(headFor(id))).toString('utf8'));
    expect(said).toEqual({ id, type: 'next', payload });
  }
});

it('shares the heads of short ids, and keeps no more than it may', () => {
  const headFor = createHeads();
  expect(headFor('1')).toBe(headFor('1'));
  expect(headFor('1')).toEqual(headOf('1'));
  expect(headFor('a-long-identifier')).not.toBe(headFor('a-long-identifier'));
  for (let n = 0; n < 2_000; n++) headFor(`n${n}`);
  expect(headFor('n5')).toBe(headFor('n5'));
  expect(headFor('n1999')).not.toBe(headFor('n1999'));
});
