import {
  attributeName,
  type CellFault,
  type Defaults,
  type Mapping,
  momentOf,
  plainAttributes,
  type RawLead,
  TARGETS,
  type Target,
  withDefaults,
} from './columns.ts';
import { FileError, RECORD_LIMIT } from './csv.ts';

/** A file of one JSON object a line. Owns the line under way; nothing longer than one line and one piece is kept. */
export interface LineReader {
  /** @throws FileError for a line without an end */
  feed(bytes: Buffer): readonly Line[];
  end(): readonly Line[];
}
export interface Line {
  readonly row: number;
  readonly text: string;
}

const NEWLINE = 0x0a;

export function createLineReader(): LineReader {
  let rest = Buffer.alloc(0);
  let row = 0;
  const lineOf = (bytes: Buffer): Line | null => {
    row += 1;
    if (bytes.length > RECORD_LIMIT) throw new FileError(`row ${row}: longer than ${RECORD_LIMIT} bytes`);
    const text = bytes.toString('utf8').trim();
    return text === '' ? null : { row, text };
  };
  return {
    feed(bytes) {
      const found: Line[] = [];
      let from = 0;
      for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
        const piece = bytes.subarray(from, at);
        const line = lineOf(rest.length === 0 ? piece : Buffer.concat([rest, piece]));
        rest = Buffer.alloc(0);
        if (line !== null) found.push(line);
        from = at + 1;
      }
      if (from < bytes.length) rest = Buffer.concat([rest, bytes.subarray(from)]);
      if (rest.length > RECORD_LIMIT) throw new FileError(`row ${row + 1}: no end of the line within ${RECORD_LIMIT} bytes`);
      return found;
    },
    end() {
      const line = rest.length === 0 ? null : lineOf(rest);
      return line === null ? [] : [line];
    },
  };
}

/** Keys that are understood without being told: the names of the targets, also written with _ and in any case. */
const KNOWN_KEYS: ReadonlyMap<string, Target> = new Map(TARGETS.map((target) => [target.toLowerCase(), target]));

function tagsOf(value: unknown): readonly string[] | null {
  const list = typeof value === 'string' ? value.split(/[;,|]/) : value;
  if (!Array.isArray(list)) return null;
  const tags = list.map((tag: unknown) => (typeof tag === 'string' || typeof tag === 'number' ? String(tag).trim() : null));
  return tags.every((tag) => tag !== null) ? tags.filter((tag) => tag !== '') : null;
}

type Texts = Partial<Record<Exclude<Target, 'tags' | 'attributes'>, string>>;
interface Gathering {
  readonly texts: Texts;
  readonly attributes: Record<string, string>;
  tags: readonly string[];
}

/** Puts one entry of the object where it belongs. */
function gather(into: Gathering, target: Target | null, attribute: string, value: unknown): CellFault['message'] | null {
  if (target === 'tags') {
    const tags = tagsOf(value);
    if (tags === null) return 'expected a list of texts';
    into.tags = tags;
  } else if (target === 'attributes') {
    const more = typeof value === 'object' && value !== null && !Array.isArray(value) ? plainAttributes(value) : null;
    if (more === null) return 'expected an object of plain values';
    Object.assign(into.attributes, more);
  } else {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return 'expected a plain value';
    const text = String(value).trim();
    if (text === '') return null;
    if (target === null) into.attributes[attribute] = text;
    else into.texts[target] = text;
  }
  return null;
}

const NOTHING: Defaults = { tags: [], niche: null, stage: null, consentSource: null, consentAt: null };

/** An object as a lead, or what is wrong with it; keys that are not known become attributes. */
export const leadOfObject = (value: unknown): RawLead | CellFault => leadOf(value, {}, 'keep', NOTHING);

/** A line as a lead, or what is wrong with it. Keys that are neither known nor mapped become attributes (`rest` keep) or are left out. */
export function leadOfLine(text: string, mapping: Mapping, rest: 'keep' | 'ignore', defaults: Defaults): RawLead | CellFault {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { field: '', message: 'expected a JSON object: it is no JSON' };
  }
  return leadOf(value, mapping, rest, defaults);
}

function leadOf(value: unknown, mapping: Mapping, rest: 'keep' | 'ignore', defaults: Defaults): RawLead | CellFault {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { field: '', message: 'expected a JSON object' };
  const sources = new Map(Object.entries(mapping).map(([to, key]) => [key, to]));
  const found: Gathering = { texts: {}, attributes: {}, tags: [] };
  for (const [key, said] of Object.entries(value)) {
    if (said === null) continue;
    const to = sources.get(key);
    const target = to === undefined ? KNOWN_KEYS.get(key.toLowerCase().replace(/[_-]/g, '')) : TARGETS.find((one) => one === to);
    const attribute = to ?? attributeName(key);
    if (target === undefined && to === undefined && (rest === 'ignore' || key === 'id' || key === 'lid' || key === 'createdAt')) continue;
    const fault = gather(found, target ?? null, attribute, said);
    if (fault !== null) return { field: key.slice(0, 64), message: fault };
  }
  const { texts } = found;
  const consentAt = texts.consentAt === undefined ? null : momentOf(texts.consentAt);
  if (texts.consentAt !== undefined && consentAt === null)
    return { field: 'consentAt', message: 'expected a moment such as 2026-05-04T10:00:00Z' };
  return withDefaults(
    {
      phone: texts.phone ?? '',
      name: texts.name ?? null,
      tags: found.tags,
      niche: texts.niche ?? null,
      stage: texts.stage ?? null,
      attributes: found.attributes,
      consentSource: texts.consentSource ?? null,
      consentAt,
    },
    defaults,
  );
}
