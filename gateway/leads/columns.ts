import type { LeadFields } from '../../schema/domain/index.ts';

/** What of a file becomes what of a lead. */
export type Target = 'phone' | 'name' | 'tags' | 'niche' | 'stage' | 'consentSource' | 'consentAt' | 'attributes';

export const TARGETS: readonly Target[] = ['phone', 'name', 'tags', 'niche', 'stage', 'consentSource', 'consentAt', 'attributes'];

/** Heads that are understood without being told, after lower-casing and without what is neither letter nor digit. */
const KNOWN_HEADS: Readonly<Record<string, Target>> = {
  phone: 'phone',
  phonenumber: 'phone',
  mobile: 'phone',
  mobilephone: 'phone',
  whatsapp: 'phone',
  tel: 'phone',
  telephone: 'phone',
  telefon: 'phone',
  telefono: 'phone',
  telefone: 'phone',
  handy: 'phone',
  celular: 'phone',
  name: 'name',
  fullname: 'name',
  nombre: 'name',
  nome: 'name',
  tag: 'tags',
  tags: 'tags',
  labels: 'tags',
  niche: 'niche',
  stage: 'stage',
  consentsource: 'consentSource',
  consentat: 'consentAt',
  attributes: 'attributes',
};
/** heads of our own export that say what cannot be written */
const OWN = new Set(['id', 'lid', 'createdat']);

/** One column of the file: what it becomes, or the attribute it is; null = left out. */
export interface Column {
  readonly head: string;
  readonly target: Target | null;
  readonly attribute: string | null;
}
/** Which head becomes which target or attribute: `{"phone": "Mobile no.", "city": "Town"}`. A name that is no target is an attribute. */
export type Mapping = Readonly<Record<string, string>>;

const plain = (head: string): string => head.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
/** A head as the name of an attribute: what a gap of a text can name. */
export function attributeName(head: string): string {
  return head
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_]+/gu, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 64);
}

/**
 * The columns of a file. Those that are mapped are what the mapping says; of the others known heads are understood, and the rest become attributes
 * (`rest` keep) or are left out.
 * @returns what is wrong with the heads as a text, naming the column
 */
export function columnsOf(heads: readonly string[], mapping: Mapping, rest: 'keep' | 'ignore'): readonly Column[] | string {
  const wanted = new Map<string, string>();
  for (const [to, head] of Object.entries(mapping)) {
    const exact = heads.filter((one) => one === head);
    const found = exact.length > 0 ? exact : heads.filter((one) => plain(one) === plain(head));
    if (found.length === 0)
      return `column "${head}" (for ${to}) is not in the file: its columns are ${heads.map((one) => `"${one}"`).join(', ')}`;
    if (found.length > 1) return `column "${head}" (for ${to}) is in the file ${found.length} times`;
    const [name = ''] = found;
    if (wanted.has(name)) return `column "${head}" is mapped twice, to ${wanted.get(name)} and to ${to}`;
    wanted.set(name, to);
  }
  const taken = new Set<string>(Object.keys(mapping));
  const columns: Column[] = [];
  for (const [index, head] of heads.entries()) {
    const said = wanted.get(head);
    const known = said ?? KNOWN_HEADS[plain(head)];
    const target = TARGETS.find((one) => one === known) ?? null;
    if (said === undefined && (known === undefined || taken.has(known))) {
      const attribute = attributeName(head);
      // what another column is told to be is nothing else
      const kept = rest === 'keep' && !OWN.has(plain(head)) && !TARGETS.some((one) => one === attribute);
      if (kept && attribute === '') return `column ${index + 1} has no name: give it one, map it, or say rest=ignore`;
      if (kept && taken.has(attribute)) return `column "${head}" is in the file twice: as ${attribute}`;
      if (kept) taken.add(attribute);
      columns.push({ head, target: null, attribute: kept ? attribute : null });
      continue;
    }
    if (said === undefined && known !== undefined) taken.add(known);
    columns.push({ head, target, attribute: target === null && said !== undefined ? said : null });
  }
  if (!columns.some((one) => one.target === 'phone'))
    return `no column holds phone numbers: its columns are ${heads.map((one) => `"${one}"`).join(', ')}; say which with columns={"phone":"<column>"}`;
  return columns;
}

/** What goes with every row of an import. */
export interface Defaults {
  readonly tags: readonly string[];
  readonly niche: string | null;
  readonly stage: string | null;
  readonly consentSource: string | null;
  /** wall ms */
  readonly consentAt: number | null;
}
/** A lead as it stands in a file, before its number is read. */
export interface RawLead extends Omit<LeadFields, 'phone'> {
  readonly phone: string;
}
/** A row that is none: which column, and what was expected there. */
export interface CellFault {
  readonly field: string;
  readonly message: string;
}

const TAG_SEPARATOR = /[;,|]/;

/** A moment: ISO 8601, or ms (13 digits) or seconds (10 digits) since 1970. @returns null when it is none */
export function momentOf(text: string): number | null {
  if (/^\d{13}$/.test(text)) return Number(text);
  if (/^\d{10}$/.test(text)) return Number(text) * 1000;
  if (!/^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text)) return null;
  const [day = '', hour] = text.split(/[T ]/);
  // without a zone it is UTC, not the zone of this machine
  const at = Date.parse(hour === undefined ? `${day}T00:00:00Z` : `${day}T${/(Z|[+-]\d{2}:?\d{2})$/.test(hour) ? hour : `${hour}Z`}`);
  return Number.isNaN(at) ? null : at;
}

/** The attributes of a cell that holds them all as JSON. */
export function attributesOf(text: string): Readonly<Record<string, string>> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? plainAttributes(value) : null;
}
/** @returns null when a value is neither text, number nor truth */
export function plainAttributes(value: object): Readonly<Record<string, string>> | null {
  const found: Record<string, string> = {};
  for (const [name, said] of Object.entries(value)) {
    if (said === null) continue;
    if (typeof said !== 'string' && typeof said !== 'number' && typeof said !== 'boolean') return null;
    found[name] = String(said);
  }
  return found;
}

/** A row of cells as a lead. Empty cells say nothing. */
export function leadOfCells(columns: readonly Column[], cells: readonly string[], defaults: Defaults): RawLead | CellFault {
  if (cells.length !== columns.length) {
    const swallowed = cells.some((cell) => cell.includes('\n')) ? '; is a quote opened and not closed?' : '';
    return { field: '', message: `expected ${columns.length} columns, got ${cells.length}${swallowed}` };
  }
  const own: Partial<Record<Target, string>> = {};
  const attributes: Record<string, string> = {};
  for (const [index, { target, attribute }] of columns.entries()) {
    const text = unguarded(cells[index] ?? '').trim();
    if (text === '') continue;
    if (target !== null) own[target] = text;
    else if (attribute !== null) attributes[attribute] = text;
  }
  const named = (target: Target): string => columns.find((one) => one.target === target)?.head ?? target;
  const more = own.attributes === undefined ? {} : attributesOf(own.attributes);
  if (more === null) return { field: named('attributes'), message: 'expected a JSON object of plain values' };
  const consentAt = own.consentAt === undefined ? null : momentOf(own.consentAt);
  if (own.consentAt !== undefined && consentAt === null)
    return { field: named('consentAt'), message: 'expected a moment such as 2026-05-04T10:00:00Z' };
  const tags = own.tags === undefined ? [] : own.tags.split(TAG_SEPARATOR).map((tag) => tag.trim());
  return withDefaults(
    {
      phone: own.phone ?? '',
      name: own.name ?? null,
      tags: tags.filter((tag) => tag !== ''),
      niche: own.niche ?? null,
      stage: own.stage ?? null,
      attributes: { ...more, ...attributes },
      consentSource: own.consentSource ?? null,
      consentAt,
    },
    defaults,
  );
}

/** What the row does not say, the import says for all. Consent of the import counts for rows that say nothing of consent. */
export function withDefaults(lead: RawLead, defaults: Defaults): RawLead {
  const silent = lead.consentSource === null && lead.consentAt === null;
  return {
    ...lead,
    tags: [...new Set([...lead.tags, ...defaults.tags])],
    niche: lead.niche ?? defaults.niche,
    stage: lead.stage ?? defaults.stage,
    consentSource: silent ? defaults.consentSource : lead.consentSource,
    consentAt: silent ? defaults.consentAt : lead.consentAt,
  };
}

/** Our export puts ' in front of what a spreadsheet would run as a formula; here it goes again. */
export function unguarded(cell: string): string {
  return /^'+[=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell;
}
