/**
 * Texts with gaps: `{{name}}`, `{{first_name|there}}` (what follows the bar stands in when the lead has no such value).
 * Variables: `name`, `first_name`, `phone`, and the lead's attributes by their names (letters, digits, `_`).
 */
export interface TextLead {
  readonly name: string | null;
  readonly phone: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
}

const GAP = /\{\{\s*([\p{L}\p{N}_]+)\s*(?:\|([^{}]*))?\}\}/gu;

/** A template that cannot be used. `message` says what is wrong and where. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

/**
 * @returns the variables that have no fallback: a lead without one of them gets no message
 * @throws TemplateError for braces that are no gap
 */
export function templateVariables(template: string): readonly string[] {
  const left = template.replace(GAP, '');
  const at = left.search(/\{\{|\}\}/);
  if (at >= 0) throw new TemplateError(`"${left.slice(at, at + 20)}" is no gap; write {{name}} or {{name|fallback}}`);
  if (left.trim() === '' && !GAP.test(template)) throw new TemplateError('the text is empty');
  GAP.lastIndex = 0;
  return [...new Set([...template.matchAll(GAP)].filter(([, , fallback]) => fallback === undefined).map(([, name]) => name ?? ''))];
}

function leadValue(lead: TextLead, name: string): string | undefined {
  const text = (value: unknown): string | undefined => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined;
    const said = String(value).trim();
    return said === '' ? undefined : said;
  };
  if (name === 'name') return text(lead.name);
  if (name === 'first_name') return text(lead.name?.trim().split(/\s+/)[0]);
  if (name === 'phone') return text(lead.phone);
  return Object.hasOwn(lead.attributes, name) ? text(lead.attributes[name]) : undefined;
}

/** The text for one lead, or null when a variable without a fallback has no value. A value is never read as a template again. */
export function renderText(template: string, lead: TextLead): string | null {
  let whole = true;
  const said = template.replace(GAP, (_gap, name: string, fallback: string | undefined) => {
    const value = leadValue(lead, name) ?? fallback?.trim();
    if (value === undefined) whole = false;
    return value ?? '';
  });
  return whole ? said : null;
}
