import type { LeadImportRow } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentId, createChecks } from '../validate.ts';

type CancelAnswer = ({ readonly row: LeadImportRow } & Refused) | Refused;

const STATES = {
  RUNNING: 'The file is being read.',
  DONE: 'All of it was read; rows that could not be taken are in the report.',
  FAILED: 'It could not be read to its end: `error` says why. What stood before is in.',
  CANCELLED: 'Ended by a person. What was read before is in.',
  INTERRUPTED: 'Nothing was heard of it for a minute: its gateway is gone. What was read before is in; send the file again.',
} as const;

/** Files of leads: what became of each. The files themselves come by HTTP (gateway/leads). */
export function addLeadImports(kit: Kit): void {
  const { builder } = kit;
  const State = builder.enumType('LeadImportState', {
    description: 'Life of an import.',
    values: Object.fromEntries(Object.entries(STATES).map(([value, description]) => [value, { value, description }])) as {
      readonly [S in keyof typeof STATES]: { readonly value: S; readonly description: string };
    },
  });
  const LeadImport = builder.objectRef<LeadImportRow>('LeadImport').implement({
    description: 'A file of leads that was uploaded to `/api/leads/import`. Numbers change while it is read.',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `LeadImport:uuid`.', resolve: (row) => `LeadImport:${row.id}` }),
      format: t.exposeString('format', { description: 'CSV or NDJSON.' }),
      state: t.expose('state', { type: State, description: 'Where it stands.' }),
      bytes: t.float({ description: 'Read so far.', resolve: (row) => row.bytes }),
      totalBytes: t.float({
        nullable: true,
        description: 'Length of the file, when its sender said so.',
        resolve: (row) => row.totalBytes,
      }),
      rows: t.float({ description: 'Rows read, without the head.', resolve: (row) => row.rows }),
      made: t.float({ description: 'Leads that are new.', resolve: (row) => row.made }),
      changed: t.float({
        description: 'Rows of numbers that were there already: from before, or from an earlier row.',
        resolve: (row) => row.changed,
      }),
      faulty: t.float({ description: 'Rows that were left out.', resolve: (row) => row.faulty }),
      error: t.exposeString('error', { nullable: true, description: 'Why it did not come to its end: where, and what was expected.' }),
      report: t.string({
        description: 'Path of the rows that were left out, as CSV: row, column, what was expected. The first 100,000.',
        resolve: (row) => `/api/leads/imports/${row.id}/faults.csv`,
      }),
      startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it began.' }),
      endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
    }),
  });
  builder.queryField('leadImport', (t) =>
    t.field({
      type: LeadImport,
      nullable: true,
      description: 'One import. Null when there is none or it belongs to someone else. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { id: t.arg.id({ required: true, description: '`LeadImport:uuid`, or the bare uuid' }) },
      resolve: async (_root, args, context) => {
        const ids = [argumentId('LeadImport', 'id', args.id)];
        return (await context.flows.leadImports(context.viewer.tenantId, { before: null, limit: 1, ids })).rows[0] ?? null;
      },
    }),
  );
  builder.queryField('leadImports', (t) =>
    t.connection(
      {
        type: LeadImport,
        description: 'Files of leads, newest first; kept for 90 days. Scope OPERATOR.',
        authScopes: { scope: 'operator' },
        complexity: (args) => listCost(args),
        resolve: async (_root, args, context) => {
          const before = args.after === null || args.after === undefined ? null : argumentId('LeadImport', 'after', args.after);
          const page = await context.flows.leadImports(context.viewer.tenantId, { before, limit: limitOf(args) });
          return connectionOf(page, (row) => row.id, args);
        },
      },
      { name: 'LeadImportConnection', description: 'A page of the list.' },
      { name: 'LeadImportEdge', description: 'One place in the list.' },
    ),
  );
  const Input = builder.inputType('CancelLeadImportInput', {
    description: 'Which import to end.',
    fields: (t) => ({ id: t.id({ required: true, description: 'the import' }) }),
  });
  const Payload = builder.objectRef<CancelAnswer>('CancelLeadImportPayload').implement({
    description: 'Answer of cancelLeadImport.',
    fields: (t) => ({
      leadImport: t.field({
        type: LeadImport,
        nullable: true,
        description: 'The import after it.',
        resolve: (answer) => ('row' in answer ? answer.row : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('cancelLeadImport', (t) =>
    t.field({
      type: Payload,
      description: 'Ends an import that is under way; what was read before is in. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<CancelAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('LeadImport', ['input', 'id'], String(input.id));
          checks.done();
          const { tenantId } = context.viewer;
          const done = await context.flows.cancelLeadImport(tenantId, id);
          const [row] = (await context.flows.leadImports(tenantId, { before: null, limit: 1, ids: [id] })).rows;
          if (row === undefined)
            throw new Refusal([problem('LEAD_IMPORT_NOT_FOUND', ['input', 'id'], 'no import with this id in this tenant')]);
          if (!done && row.state !== 'CANCELLED')
            throw new Refusal([problem('STATE_CONFLICT', ['input', 'id'], `expected it running: it is ${row.state}`)]);
          await context.audit({ viewer: context.viewer, action: 'cancelLeadImport', subject: id });
          return { row };
        }),
    }),
  );
}
