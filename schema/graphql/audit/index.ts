import type { Kit } from '../builder.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { argumentError, argumentId } from '../validate.ts';

const ACTION = /^[a-zA-Z.]{1,80}$/;
const SUBJECT_LIMIT = 120;

/** The bare id of a subject, whatever its type: `Device:uuid` and the uuid name the same. */
function subjectOf(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null;
  if (text.length > SUBJECT_LIMIT) throw argumentError('INVALID_INPUT', 'subject', `expected at most ${SUBJECT_LIMIT} characters`);
  return text.slice(text.indexOf(':') + 1);
}

export function addAudit(kit: Kit): void {
  const { builder } = kit;
  builder.objectType('AuditEntry', {
    description: 'Something that was done through the API: one for each mutation that did something.',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `AuditEntry:uuid`.', resolve: (row) => `AuditEntry:${row.id}` }),
      action: t.exposeString('action', { description: 'The mutation.' }),
      subject: t.exposeString('subject', {
        nullable: true,
        description: 'The bare id of what it was done to; null when that is a person, or many messages.',
      }),
      apiKeyId: t.id({
        nullable: true,
        description: 'The key that did it.',
        resolve: (row) => (row.apiKeyId === null ? null : `ApiKey:${row.apiKeyId}`),
      }),
      apiKeyName: t.exposeString('apiKeyName', { nullable: true, description: 'Name of that key.' }),
      detail: t.string({
        description:
          'More about it, a JSON object. Never a text, a phone number or a credential. Sends that came thick and fast share one entry with their `count`.',
        resolve: (row) => JSON.stringify(row.detail),
      }),
      at: t.expose('at', { type: 'DateTime', description: 'When, by the clock of the ledger.' }),
    }),
  });
  builder.queryField('audit', (t) =>
    t.connection(
      {
        type: 'AuditEntry',
        description: 'What was done in the tenant, newest first. Scope ADMIN.',
        authScopes: { scope: 'admin' },
        complexity: (args) => listCost(args),
        args: {
          action: t.arg.string({ required: false, description: 'only this mutation' }),
          subject: t.arg.id({ required: false, description: 'only what was done to this' }),
        },
        resolve: async (_root, args, context) => {
          const action = args.action ?? null;
          if (action !== null && !ACTION.test(action)) throw argumentError('INVALID_INPUT', 'action', 'expected the name of a mutation');
          const page = await context.accessReads.auditPage(context.viewer.tenantId, {
            before: args.after === null || args.after === undefined ? null : argumentId('AuditEntry', 'after', args.after),
            action,
            subject: subjectOf(args.subject),
            limit: limitOf(args),
          });
          return connectionOf(page, (row) => row.id, args);
        },
      },
      { name: 'AuditConnection', description: 'A page of the list.' },
      { name: 'AuditEdge', description: 'One place in the list.' },
    ),
  );
}
