import { LEAD_ATTRIBUTES_BYTES, type LeadFields, leadFault } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext, PhoneReading } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentError, phoneFault } from '../validate.ts';
import { numberOf } from './input.ts';
import type { FlowTypes } from './types.ts';

const BATCH_LIMIT = 1000;

interface RowFault {
  readonly index: number;
  readonly message: string;
}
type ImportAnswer = ({ readonly made: number; readonly changed: number; readonly faults: readonly RowFault[] } & Refused) | Refused;
type NewLead = LeadFields;

interface RawLead {
  readonly phone: string;
  readonly name?: string | null | undefined;
  readonly tags?: readonly string[] | null | undefined;
  readonly niche?: string | null | undefined;
  readonly stage?: string | null | undefined;
  readonly attributes?: string | null | undefined;
  readonly consentSource?: string | null | undefined;
  readonly consentAt?: number | null | undefined;
}

function attributesOf(text: string | null | undefined): Readonly<Record<string, string>> | string {
  if (text === null || text === undefined) return {};
  if (Buffer.byteLength(text) > LEAD_ATTRIBUTES_BYTES) return `attributes: expected at most ${LEAD_ATTRIBUTES_BYTES} bytes`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'attributes: expected a JSON object';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'attributes: expected a JSON object';
  const entries = Object.entries(value);
  for (const [key, said] of entries) {
    if (typeof said !== 'string' && typeof said !== 'number' && typeof said !== 'boolean')
      return `attributes.${key}: expected a plain value`;
  }
  return Object.fromEntries(entries.map(([key, said]) => [key, String(said)]));
}

/** A lead as it is to be written, or what is wrong with it. */
function leadOf(raw: RawLead, normalise: (text: string) => PhoneReading): NewLead | string {
  const read = normalise(raw.phone);
  if ('fault' in read) return `phone: ${read.fault}`;
  const attributes = attributesOf(raw.attributes);
  if (typeof attributes === 'string') return attributes;
  const lead: NewLead = {
    phone: read.phone,
    name: raw.name ?? null,
    tags: [...new Set(raw.tags ?? [])],
    niche: raw.niche ?? null,
    stage: raw.stage ?? null,
    attributes,
    consentSource: raw.consentSource ?? null,
    consentAt: raw.consentAt ?? null,
  };
  const fault = leadFault(lead);
  return fault === null ? lead : `${fault.field}: ${fault.message}`;
}

/** With a region numbers are read by the numbering plans; without one they must be E.164 as they stand. */
function readerOf(context: GraphqlContext, region: string | null | undefined): (text: string) => PhoneReading {
  if (region === null || region === undefined) {
    return (text) => {
      const fault = phoneFault(text);
      return fault === null ? { phone: text } : { fault: `expected E.164, such as +491701234567: ${fault}` };
    };
  }
  const reader = context.flows.phoneReader(region);
  if (reader === null)
    throw new Refusal([problem('INVALID_INPUT', ['input', 'region'], 'expected a country code of two letters, such as DE')]);
  return reader;
}

export function addLeads(kit: Kit, types: FlowTypes): void {
  const { builder } = kit;
  builder.queryField('leads', (t) =>
    t.connection(
      {
        type: types.Lead,
        description: 'The leads of the tenant in the order of their import. Scope OPERATOR: they are people.',
        authScopes: { scope: 'operator' },
        complexity: (args) => listCost(args),
        args: { tag: t.arg.string({ required: false, description: 'only with this tag' }) },
        resolve: async (_root, args, context) => {
          const tag = args.tag ?? null;
          if (tag !== null && tag.length > 200) throw argumentError('INVALID_INPUT', 'tag', 'expected at most 200 characters');
          const page = await context.flows.leads(context.viewer.tenantId, { after: numberOf(args.after), limit: limitOf(args), tag });
          return connectionOf(page, (row) => String(row.no), args);
        },
      },
      { name: 'LeadConnection', description: 'A page of the list.' },
      { name: 'LeadEdge', description: 'One place in the list.' },
    ),
  );
  addImport(kit);
}

function addImport(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('LeadInput', {
    description: 'Somebody to write to. A field left out keeps what is known of that number; tags and attributes are added to it.',
    fields: (t) => ({
      phone: t.string({ required: true, description: 'the number in E.164: one lead per number' }),
      name: t.string({ required: false, description: 'name' }),
      tags: t.stringList({ required: false, description: 'tags, at most 50' }),
      niche: t.string({ required: false, description: 'niche' }),
      stage: t.string({ required: false, description: 'stage' }),
      attributes: t.string({ required: false, description: 'more, a JSON object of plain values: gaps of texts take them by their names' }),
      consentSource: t.string({ required: false, description: 'where consent came from' }),
      consentAt: t.field({ type: 'DateTime', required: false, description: 'when consent was given' }),
    }),
  });
  const Batch = builder.inputType('ImportLeadsInput', {
    description: 'Leads to write down.',
    fields: (t) => ({
      leads: t.field({ type: [Input], required: true, description: '1 to 1000 leads' }),
      region: t.string({
        required: false,
        description: 'country of numbers without a country code, two letters such as DE: numbers may then be written in any usual way',
      }),
    }),
  });
  const Fault = builder.objectRef<RowFault>('LeadFault').implement({
    description: 'A lead that was left out.',
    fields: (t) => ({
      index: t.exposeInt('index', { description: 'Its place in the input, from 0.' }),
      message: t.exposeString('message', { description: 'The field, and what was expected.' }),
    }),
  });
  const Payload = builder.objectRef<ImportAnswer>('ImportLeadsPayload').implement({
    description: 'Answer of importLeads.',
    fields: (t) => ({
      made: t.int({ description: 'Leads that are new.', resolve: (answer) => ('made' in answer ? answer.made : 0) }),
      changed: t.int({ description: 'Leads that were there already.', resolve: (answer) => ('changed' in answer ? answer.changed : 0) }),
      faults: t.field({
        type: [Fault],
        description: 'Leads that were left out; the others are in.',
        resolve: (answer) => ('faults' in answer ? [...answer.faults] : []),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when the batch was taken.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('importLeads', (t) =>
    t.field({
      type: Payload,
      description: 'Writes leads down, new or changed. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Batch, required: true, description: 'the leads' }) },
      resolve: (_root, { input }, context): Promise<ImportAnswer> =>
        attempt(async () => {
          const { leads } = input;
          if (leads.length < 1 || leads.length > BATCH_LIMIT)
            throw new Refusal([problem('INVALID_INPUT', ['input', 'leads'], `expected 1 to ${BATCH_LIMIT} leads, got ${leads.length}`)]);
          const normalise = readerOf(context, input.region);
          const faults: RowFault[] = [];
          const rows = new Map<string, NewLead>();
          leads.forEach((raw, index) => {
            const lead = leadOf(raw, normalise);
            if (typeof lead === 'string') faults.push({ index, message: lead });
            else if (rows.has(lead.phone)) faults.push({ index, message: 'phone: it stands in this batch already' });
            else rows.set(lead.phone, lead);
          });
          const outcome = await context.flows.importLeads(context.viewer.tenantId, [...rows.values()]);
          await context.audit({
            viewer: context.viewer,
            action: 'importLeads',
            subject: null,
            detail: { ...outcome, faults: faults.length },
          });
          return { ...outcome, faults };
        }),
    }),
  );
}
