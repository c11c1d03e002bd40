import { expect, it } from 'vitest';
import { AddressRefused } from '../../../ops/connect/index.ts';
import { parseKeyRing } from '../../sessions/index.ts';
import { createProxySeal } from './proxy-seal.ts';

const ring = (id: string, byte: number) => () => parseKeyRing(`${id}:${Buffer.alloc(32, byte).toString('base64')}`);
const ADDRESS = 'http://us%40er:p%3Ass@proxy.example:3128/';

it('comes back whole, for its own device; shown and kept without its credentials', () => {
  const seal = createProxySeal(ring('a', 1), ['10.0.0.1:3128']);
  const proxy = seal.seal('one', ADDRESS);
  expect(proxy.shown).toBe('http://***@proxy.example:3128');
  expect(Buffer.from(proxy.sealed, 'base64').toString('latin1')).not.toContain('proxy');
  expect(seal.open('one', { proxy })).toMatchObject({ url: new URL(ADDRESS), allowed: ['10.0.0.1:3128'] });
  expect(seal.open('one', {})).toBeNull();
  expect(seal.open('one', { proxy: null })).toBeNull();
});

it('never opens as another: another device, another ring, damaged', () => {
  const seal = createProxySeal(ring('a', 1), []);
  const proxy = seal.seal('one', ADDRESS);
  const unreadable = expect.objectContaining({ code: 'PROXY_UNREADABLE', policy: 'terminal' });
  const codeOf = (open: () => unknown): unknown => {
    try {
      return open();
    } catch (error) {
      return error;
    }
  };
  expect(codeOf(() => seal.open('two', { proxy }))).toEqual(unreadable);
  expect(codeOf(() => createProxySeal(ring('b', 1), []).open('one', { proxy }))).toEqual(unreadable);
  expect(codeOf(() => createProxySeal(ring('a', 2), []).open('one', { proxy }))).toEqual(unreadable);
  expect(codeOf(() => seal.open('one', { proxy: { sealed: 'AAAA', shown: '' } }))).toEqual(unreadable);
  expect(codeOf(() => seal.open('one', { proxy: 'http://elsewhere' }))).toEqual(unreadable);
});

it('is refused before it is kept when it is not of the public internet', () => {
  expect(() => createProxySeal(ring('a', 1), []).seal('one', 'http://127.0.0.1:3128')).toThrow(AddressRefused);
});
