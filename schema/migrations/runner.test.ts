import { expect, it } from 'vitest';
import { listMigrations } from './index.ts';

it('the files have the numbers from 1 on, each once', () => {
  const numbers = listMigrations().map(({ number }) => number);
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  expect(numbers.length).toBeGreaterThan(1);
});
