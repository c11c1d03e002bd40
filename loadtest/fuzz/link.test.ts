import { expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { rightAnswers } from './link.ts';
import { linkInput } from './link-inputs.ts';

it('knows the right answer to each kind of input', () => {
  const told = { epoch: 5 };
  const ack = { type: 'ack', id: '01a1fc14-13ac-793b-ace1-10d7ff6dcdcf', epoch: 5, status: 'sent' };
  expect(rightAnswers('{', told)).toEqual([4400]);
  expect(rightAnswers('x'.repeat(70_000), undefined)).toEqual([1009]);
  expect(rightAnswers(Buffer.from('{}'), told)).toEqual([1003]);
  expect(rightAnswers(JSON.stringify({ type: 'hello', token: 'x' }), told)).toEqual([4400]);
  expect(rightAnswers(JSON.stringify(ack), told)).toEqual(['open']);
  expect(rightAnswers(JSON.stringify(ack), undefined)).toEqual([4401]);
  expect(rightAnswers(JSON.stringify({ ...ack, epoch: 5000 }), told)).toEqual([4400]);
});

it('makes the same inputs for the same seed, of every kind', () => {
  const some = (seed: number): string[] => {
    const dice = seededDice(seed);
    return Array.from({ length: 300 }, () => String(linkInput(dice)));
  };
  expect(some(1)).toEqual(some(1));
  expect(some(1)).not.toEqual(some(2));
  const dice = seededDice(3);
  const answers = new Set(Array.from({ length: 2000 }, () => rightAnswers(linkInput(dice), { epoch: 5 }).join()));
  expect([...answers].sort()).toEqual(expect.arrayContaining(['1003', '1009', '4400', 'open']));
});
