/** What may be written down of a lead, by whichever way it comes: one set of rules for the API and for files. */

export interface LeadFields {
  /** E.164 */
  readonly phone: string;
  readonly name: string | null;
  readonly tags: readonly string[];
  readonly niche: string | null;
  readonly stage: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly consentSource: string | null;
  /** wall ms */
  readonly consentAt: number | null;
}
export interface LeadFault {
  readonly field: string;
  /** what was expected; never what stood there */
  readonly message: string;
}

export const LEAD_TEXT_LIMIT = 200;
export const LEAD_TAGS_LIMIT = 50;
export const LEAD_ATTRIBUTES_BYTES = 8192;
/** names of attributes: what a gap of a text can name */
const ATTRIBUTE_NAME = /^[\p{L}\p{N}_]{1,64}$/u;
const CONTROL = /\p{Cc}/u;
/** halves of a character, and what stands for bytes that were none */
const BROKEN = /[\p{Surrogate}\uFFFD]/u;
/** year 9999: Postgres and every client can tell it */
const LAST_MOMENT = 253_402_300_799_999;

function textFault(field: string, text: string | null): LeadFault | null {
  if (text === null) return null;
  if (BROKEN.test(text)) return { field, message: 'expected characters: it has bytes that are none in this encoding' };
  if (text === '' || text.length > LEAD_TEXT_LIMIT || CONTROL.test(text))
    return { field, message: `expected 1 to ${LEAD_TEXT_LIMIT} characters without control characters` };
  return null;
}

function attributesFault(attributes: Readonly<Record<string, string>>): LeadFault | null {
  let bytes = 0;
  for (const [name, value] of Object.entries(attributes)) {
    const field = `attributes.${name.slice(0, 64)}`;
    if (!ATTRIBUTE_NAME.test(name)) return { field: 'attributes', message: 'expected names of 1 to 64 letters, digits and _' };
    if (BROKEN.test(value)) return { field, message: 'expected characters: it has bytes that are none in this encoding' };
    if (value.includes('\u0000')) return { field, message: 'expected a text without NUL characters' };
    bytes += name.length + 3 * value.length;
  }
  // three bytes a character is the most: only what may be too long is measured
  if (bytes > LEAD_ATTRIBUTES_BYTES && Buffer.byteLength(JSON.stringify(attributes)) > LEAD_ATTRIBUTES_BYTES)
    return { field: 'attributes', message: `expected at most ${LEAD_ATTRIBUTES_BYTES} bytes` };
  return null;
}

/** What is wrong with a lead whose phone is known to be one, or null. */
export function leadFault(lead: LeadFields): LeadFault | null {
  if (lead.tags.length > LEAD_TAGS_LIMIT) return { field: 'tags', message: `expected at most ${LEAD_TAGS_LIMIT}, got ${lead.tags.length}` };
  for (const tag of lead.tags) {
    const fault = textFault('tags', tag);
    if (fault !== null) return fault;
  }
  if (lead.consentAt !== null && !(lead.consentAt >= 0 && lead.consentAt <= LAST_MOMENT))
    return { field: 'consentAt', message: 'expected a moment of the years 1970 to 9999' };
  return (
    textFault('name', lead.name) ??
    textFault('niche', lead.niche) ??
    textFault('stage', lead.stage) ??
    textFault('consentSource', lead.consentSource) ??
    attributesFault(lead.attributes)
  );
}
