import { int8 } from './int8.ts';

/**
 * PostgreSQL's arrays of one dimension, of the types that the server has by itself; arrays of our own types (states) go as text[].
 * By itself the client asks each new connection for all array types, and a connection that breaks at that moment ends the process: nobody hears
 * that promise fail (postgres 3.4, `fetchArrayTypes`). So it is not asked to (`fetch_types`), which saves a round trip too.
 */
interface ArrayType {
  readonly to: number;
  readonly from: number[];
  serialize(value: unknown): unknown;
  parse(text: string): unknown;
}

const text = (element: string): string => element;
const date = (element: string): Date => new Date(element);
const json = (element: string): unknown => JSON.parse(element);

/** by the array's oid (pg_type.dat): what an element is read with */
const ELEMENTS: Readonly<Record<number, (element: string) => unknown>> = {
  199: json,
  1000: (element) => element === 't',
  1001: (element) => Buffer.from(element.slice(2), 'hex'),
  1005: Number,
  1007: Number,
  1009: text,
  1015: text,
  1016: int8.parse,
  1021: Number,
  1022: Number,
  1028: Number,
  1115: date,
  1182: date,
  1185: date,
  1231: text,
  2951: text,
  3807: json,
};

/** for the client's option `types` */
export const arrayTypes: Readonly<Record<string, ArrayType>> = Object.fromEntries(
  Object.entries(ELEMENTS).map(([oid, read]) => [
    `array${oid}`,
    { to: Number(oid), from: [Number(oid)], serialize: arrayText, parse: (given: string) => parseArray(given, read) },
  ]),
);

export type ArrayElement = string | number | boolean | Uint8Array | null;

/**
 * A Postgres array literal. The client guesses an array's type from its first element (so boolean[] and bytea[] fail, and a leading null
 * changes the guess); a literal is read by the server as the type that the statement names.
 */
export function arrayLiteral(values: readonly ArrayElement[]): string {
  return `{${values.map(elementLiteral).join(',')}}`;
}

function elementLiteral(value: ArrayElement): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `"${value.replace(/[\\"]/g, '\\$&')}"`;
  return `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}"`;
}

/** A parameter of an array type: a list, or a literal as it is. */
export function arrayText(value: unknown): unknown {
  return Array.isArray(value) ? arrayLiteral(value.map(elementOf)) : value;
}
function elementOf(value: unknown): ArrayElement {
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array || value === null || typeof value !== 'object') return value as ArrayElement;
  return JSON.stringify(value);
}

const ELEMENT = /"((?:[^"\\]|\\.)*)"|([^,{}"]+)/gs;

/** @throws RangeError for an array of more than one dimension, or with bounds of its own */
export function parseArray<T>(given: string, read: (element: string) => T): (T | null)[] {
  const inner = given.slice(1, -1);
  if (given[0] !== '{' || inner[0] === '{') throw new RangeError(`expected an array of one dimension, got ${given.slice(0, 40)}`);
  return Array.from(inner.matchAll(ELEMENT), ([, quoted, bare = '']) => {
    if (quoted !== undefined) return read(quoted.replace(/\\(.)/gs, '$1'));
    return bare === 'NULL' ? null : read(bare);
  });
}
