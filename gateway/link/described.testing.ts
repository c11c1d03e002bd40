import { asyncapiDocument } from './asyncapi.ts';

/** The part of JSON Schema that asyncapi.json uses. */
export interface Schema {
  readonly type?: 'object' | 'string' | 'integer';
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly description?: string;
}
interface Document {
  readonly channels: {
    readonly link: {
      readonly messages: Readonly<Record<string, { readonly payload: Schema }>>;
      readonly 'x-close-codes': readonly { readonly code: number; readonly name: string; readonly retry: boolean }[];
    };
  };
  readonly operations: Readonly<Record<string, { readonly messages: readonly { readonly $ref: string }[] }>>;
}

const DOCUMENT = asyncapiDocument() as unknown as Document;
export const description = (): Document => DOCUMENT;

const KNOWN = new Set([
  'type',
  'const',
  'enum',
  'required',
  'properties',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'format',
  'description',
]);

/** What is wrong with a value by a schema; undefined = nothing. Throws at a keyword that it does not understand. */
export function problemBy(schema: Schema, value: unknown, path = ''): string | undefined {
  for (const word of Object.keys(schema)) if (!KNOWN.has(word)) throw new Error(`unknown keyword ${word}`);
  if (schema.const !== undefined && value !== schema.const) return `${path}: expected ${schema.const}`;
  if (schema.enum !== undefined && !schema.enum.some((one) => one === value)) return `${path}: expected one of ${schema.enum.join(' ')}`;
  if (schema.type === 'integer') {
    if (typeof value !== 'number' || !Number.isInteger(value)) return `${path}: expected a whole number`;
    if (value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity)) return `${path}: out of range`;
  }
  if (schema.type === 'string') {
    if (typeof value !== 'string') return `${path}: expected a text`;
    if (value.length < (schema.minLength ?? 0) || value.length > (schema.maxLength ?? Infinity)) return `${path}: length ${value.length}`;
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) return `${path}: pattern`;
  }
  if (schema.type !== 'object') return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${path}: expected an object`;
  const object = value as Readonly<Record<string, unknown>>;
  for (const name of schema.required ?? []) if (!Object.hasOwn(object, name)) return `${path}: ${name} is missing`;
  for (const [name, part] of Object.entries(schema.properties ?? {})) {
    const problem = Object.hasOwn(object, name) ? problemBy(part, object[name], `${path}/${name}`) : undefined;
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** What is wrong with a frame by the document: none of its messages in this direction fits. */
export function undescribed(direction: 'fromDevice' | 'toDevice', frame: unknown): string | undefined {
  const { channels, operations } = description();
  const names = (operations[direction]?.messages ?? []).map(({ $ref }) => $ref.split('/').at(-1) ?? '');
  const problems = names.map((name) => problemBy(channels.link.messages[name]?.payload ?? {}, frame, name));
  return problems.includes(undefined) ? undefined : problems.join('; ');
}
