import type { LeadImportFormat } from '../../schema/sql/index.ts';
import { HttpError, type HttpRequest } from '../server/index.ts';
import { type Defaults, type Mapping, momentOf, TARGETS } from './columns.ts';
import { isEncoding } from './decode.ts';
import { isRegion, type PhoneCheck } from './phone.ts';

/** What an upload asks for, from its query string and its content type. */
export interface ImportRequest {
  readonly id: string | null;
  readonly format: LeadImportFormat;
  /** undefined: as the tenant has it */
  readonly region: string | null | undefined;
  readonly check: PhoneCheck;
  readonly mapping: Mapping;
  readonly rest: 'keep' | 'ignore';
  readonly delimiter: string | null;
  readonly encoding: string | null;
  readonly head: boolean;
  readonly defaults: Defaults;
}

const NAMES = [
  'id',
  'format',
  'region',
  'numbers',
  'columns',
  'rest',
  'delimiter',
  'encoding',
  'head',
  'tags',
  'niche',
  'stage',
  'consentSource',
  'consentAt',
];
const DELIMITERS: Readonly<Record<string, string>> = {
  comma: ',',
  semicolon: ';',
  tab: '\t',
  pipe: '|',
  ',': ',',
  ';': ';',
  '\t': '\t',
  '|': '|',
};
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const refuse = (name: string, expected: string): HttpError => new HttpError(400, `${name}: expected ${expected}`);

function formatOf(said: string | null, contentType: string): LeadImportFormat {
  const name = said?.toLowerCase() ?? null;
  if (name === 'csv' || name === 'ndjson') return name === 'csv' ? 'CSV' : 'NDJSON';
  if (name !== null) throw refuse('format', 'csv or ndjson');
  const type = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'text/csv' || type === 'application/csv' || type === 'text/tab-separated-values') return 'CSV';
  if (type === 'application/x-ndjson' || type === 'application/ndjson' || type === 'application/jsonl') return 'NDJSON';
  throw new HttpError(
    415,
    'expected content-type: text/csv or application/x-ndjson (or ?format=csv|ndjson), and the file itself as the body',
  );
}

function mappingOf(text: string | null): Mapping {
  if (text === null) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('columns', 'a JSON object such as {"phone":"Mobile","city":"Town"}');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse('columns', 'a JSON object such as {"phone":"Mobile"}');
  const mapping: Record<string, string> = {};
  for (const [to, head] of Object.entries(value)) {
    if (typeof head !== 'string' && typeof head !== 'number') throw refuse(`columns.${to.slice(0, 64)}`, 'the name of a column');
    if (!TARGETS.some((target) => target === to) && !/^[\p{L}\p{N}_]{1,64}$/u.test(to))
      throw refuse('columns', `keys that are one of ${TARGETS.join(', ')} or the name of an attribute (letters, digits and _)`);
    mapping[to] = String(head);
  }
  return mapping;
}

/** @throws HttpError 400 or 415 for what cannot be meant */
export function importRequestOf(request: HttpRequest, now: number): ImportRequest {
  const said = new URLSearchParams(request.query);
  for (const name of said.keys())
    if (!NAMES.includes(name)) throw new HttpError(400, `${name.slice(0, 40)}: expected one of ${NAMES.join(', ')}`);
  const one = <T extends string>(name: string, choices: readonly T[], fallback: T): T => {
    const text = said.get(name) ?? fallback;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw refuse(name, choices.join(' or '));
    return found;
  };
  const id = said.get('id')?.toLowerCase() ?? null;
  if (id !== null && !UUID_V7.test(id)) throw refuse('id', 'a UUID of version 7');
  const region = said.get('region')?.toUpperCase();
  if (region !== undefined && !isRegion(region)) throw refuse('region', 'a country code of two letters, such as DE');
  const delimiter = said.get('delimiter');
  if (delimiter !== null && DELIMITERS[delimiter] === undefined) throw refuse('delimiter', 'comma, semicolon, tab or pipe');
  const encoding = said.get('encoding');
  if (encoding !== null && !isEncoding(encoding)) throw refuse('encoding', 'the name of an encoding, such as utf-8 or windows-1252');
  const consentSource = said.get('consentSource');
  const at = said.get('consentAt');
  const consentAt = at === null ? (consentSource === null ? null : now) : momentOf(at);
  if (at !== null && consentAt === null) throw refuse('consentAt', 'a moment such as 2026-05-04T10:00:00Z');
  return {
    id,
    format: formatOf(said.get('format'), request.headers['content-type'] ?? ''),
    region,
    check: one('numbers', ['valid', 'possible'], 'valid'),
    mapping: mappingOf(said.get('columns')),
    rest: one('rest', ['keep', 'ignore'], 'keep'),
    delimiter: delimiter === null ? null : (DELIMITERS[delimiter] ?? null),
    encoding,
    head: one('head', ['yes', 'no'], 'yes') === 'yes',
    defaults: {
      tags: (said.get('tags') ?? '')
        .split(',')
        .map((tag) => tag.trim())
        .filter((tag) => tag !== ''),
      niche: said.get('niche'),
      stage: said.get('stage'),
      consentSource,
      consentAt,
    },
  };
}
