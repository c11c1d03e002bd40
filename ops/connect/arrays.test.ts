import fc from 'fast-check';
import { expect, it } from 'vitest';
import { arrayText, parseArray } from './arrays.ts';

it('reads what the server writes', () => {
  const texts = (given: string) => parseArray(given, (element) => element);
  expect(texts('{}')).toEqual([]);
  expect(texts('{a,b c,NULL,"NULL","",",","{x}","\\"","\\\\"}')).toEqual(['a', 'b c', null, 'NULL', '', ',', '{x}', '"', '\\']);
  expect(parseArray('{1,-2,NULL}', Number)).toEqual([1, -2, null]);
  expect(() => texts('{{a},{b}}')).toThrow(RangeError);
  expect(() => texts('[0:1]={a,b}')).toThrow(RangeError);
});

it('reads what it writes, whatever is in it', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.string({ unit: 'binary' }))), (values) => {
      expect(parseArray(String(arrayText(values)), (element) => element)).toEqual(values);
    }),
  );
  expect(arrayText('{a}')).toBe('{a}');
  expect(arrayText([1, true, Buffer.from('a'), new Date(0), { a: '"' }])).toBe(
    '{1,true,"\\\\x61","1970-01-01T00:00:00.000Z","{\\"a\\":\\"\\\\\\"\\"}"}',
  );
});
