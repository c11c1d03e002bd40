import { describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { judge } from './graphql.ts';
import { CODES, lastInput, openingInput, operationInput, type SocketInput } from './graphql-inputs.ts';

const asked = (id: string): SocketInput => ({ name: 'document', data: '{}', right: { kind: 'answer', id } });
const last: SocketInput = { name: 'noise', data: 'x', right: { kind: 'close', codes: [CODES.bad] } };

describe('answers to operations', () => {
  it('are right when each came once, by its id', () => {
    const told = [
      { type: 'error', id: 'a', payload: [] },
      { type: 'next', id: 'b', payload: {} },
      { type: 'complete', id: 'b' },
      { type: 'pong' },
    ];
    expect(judge([asked('a'), asked('b')], last, told, 4400).faults).toEqual([]);
  });
  it.each([
    ['one is missing', [], 4400, /not at all/],
    [
      'one came twice',
      [
        { type: 'error', id: 'a' },
        { type: 'error', id: 'a' },
      ],
      4400,
      /answered error\+error/,
    ],
    [
      'one was completed after its error',
      [
        { type: 'error', id: 'a' },
        { type: 'complete', id: 'a' },
      ],
      4400,
      /error\+complete/,
    ],
    [
      'nobody asked',
      [
        { type: 'error', id: 'a' },
        { type: 'error', id: 'b' },
      ],
      4400,
      /nobody asked/,
    ],
    ['the socket ended otherwise', [{ type: 'error', id: 'a' }], 1006, /ended 1006/],
    ['the socket hangs', [{ type: 'error', id: 'a' }], -1, /ended -1/],
  ] as const)('show when %s', (_name, told, code, fault) => {
    expect(judge([asked('a')], last, told, code).faults.join()).toMatch(fault);
  });
});

it('makes the same inputs for the same seed, of every kind', () => {
  const some = (seed: number): string[] => {
    const dice = seededDice(seed);
    return Array.from({ length: 100 }, (_, n) =>
      [openingInput(dice, 'key'), operationInput(dice, n), lastInput(dice, 'key')].map(({ data }) => String(data)),
    ).flat();
  };
  expect(some(1)).toEqual(some(1));
  expect(some(1)).not.toEqual(some(2));
  const dice = seededDice(4);
  const names = new Set(
    Array.from({ length: 3_000 }, (_, n) =>
      [openingInput(dice, 'key'), operationInput(dice, n), lastInput(dice, 'key')].map(({ name }) => name),
    ).flat(),
  );
  for (const name of [
    'no JSON',
    'binary',
    'deep',
    'too large',
    'subscribe before ack',
    'wrong key',
    'document',
    'variables',
    'second init',
    'payload',
  ]) {
    expect([...names]).toContain(name);
  }
});
