import type { Kit } from '../builder.ts';
import type { TenantRow } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentId, createChecks } from '../validate.ts';
import { addApiKeys } from './api-keys.ts';
import { addUpdateTenant } from './update.ts';

type RecipientCapRow = NonNullable<TenantRow['recipientCap']>;
type TenantAnswer = ({ readonly tenant: TenantRow } & Refused) | Refused;
const BACKLOG_LIMIT = 100_000_000;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export function addTenant(kit: Kit): void {
  const { builder } = kit;
  const RecipientCap = builder.objectRef<RecipientCapRow>('RecipientCap').implement({
    description: 'Most messages of campaigns to the same person in a time.',
    fields: (t) => ({
      messages: t.exposeInt('messages', { description: 'Messages, counted when they are first sent.' }),
      days: t.exposeInt('days', { description: 'In so many days of 24 hours.' }),
    }),
  });
  builder.node('Tenant', {
    description: 'A business. Nothing of one tenant is ever visible to another.',
    id: { resolve: (tenant) => tenant.id },
    loadOne: async (id, context) => (id === context.viewer.tenantId ? context.accessReads.tenant(id) : null),
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Its name, unique in the installation.' }),
      timeZone: t.exposeString('timeZone', { description: 'IANA time zone of its windows.' }),
      maxBacklog: t.exposeInt('maxBacklog', { description: 'Most unsent messages a device of it may have.' }),
      defaultRegion: t.exposeString('defaultRegion', {
        nullable: true,
        description: 'Country of phone numbers without a country code in imported files, such as DE; null: they are refused.',
      }),
      consentRequired: t.exposeBoolean('consentRequired', {
        description:
          'True: messages to people without a record of consent (`Lead.consentAt`) end SUPPRESSED with the cause CONSENT_MISSING.',
      }),
      stopWords: t.exposeStringList('stopWords', { description: 'Its own words for "do not write to me again", beside the common ones.' }),
      startWords: t.exposeStringList('startWords', { description: 'Its own words that take such a wish back, beside the common ones.' }),
      recipientCap: t.expose('recipientCap', {
        type: RecipientCap,
        nullable: true,
        description:
          'How often its campaigns write to the same person, from whatever device. Messages over it end SUPPRESSED with the cause RECIPIENT_CAPPED; null: no cap.',
      }),
      flowsPerMinute: t.exposeInt('flowsPerMinute', {
        nullable: true,
        description: 'Most messages of its campaigns and sequences a minute, all devices together; null: no ceiling.',
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    }),
  });
  const Input = builder.inputType('CreateTenantInput', {
    description: 'A new tenant.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 80 characters, unique in the installation' }),
      timeZone: t.string({ required: true, defaultValue: 'UTC', description: 'IANA time zone, such as Europe/Berlin' }),
      maxBacklog: t.int({ required: false, description: 'most unsent messages a device may have; 1,000,000 when not given' }),
    }),
  });
  const Payload = builder.objectRef<TenantAnswer>('CreateTenantPayload').implement({
    description: 'Answer of createTenant.',
    fields: (t) => ({
      tenant: t.field({
        type: 'Tenant',
        nullable: true,
        description: 'The new tenant.',
        resolve: (answer) => ('tenant' in answer ? answer.tenant : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('createTenant', (t) =>
    t.field({
      type: Payload,
      description: 'Creates a tenant. Only with the installation’s own key.',
      authScopes: { installation: true },
      args: { input: t.arg({ type: Input, required: true, description: 'the tenant' }) },
      resolve: (_root, { input }, context): Promise<TenantAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const name = checks.name(['input', 'name'], input.name);
          if (!isTimeZone(input.timeZone)) {
            checks.add(problem('INVALID_INPUT', ['input', 'timeZone'], 'expected an IANA time zone, such as Europe/Berlin'));
          }
          const maxBacklog = input.maxBacklog ?? null;
          if (maxBacklog !== null) checks.whole(['input', 'maxBacklog'], maxBacklog, 1, BACKLOG_LIMIT);
          checks.done();
          const tenant = await context.access.createTenant(name, input.timeZone, maxBacklog);
          if (tenant === 'NAME_TAKEN') {
            throw new Refusal([problem('NAME_TAKEN', ['input', 'name'], 'expected a name that no other tenant has')]);
          }
          await context.audit({ viewer: context.viewer, tenantId: tenant.id, action: 'createTenant', subject: tenant.id });
          return { tenant };
        }),
    }),
  );
  builder.queryField('tenants', (t) =>
    t.connection(
      {
        type: 'Tenant',
        description: 'All tenants, oldest first. Only with the installation’s own key.',
        authScopes: { installation: true },
        complexity: (args) => listCost(args),
        resolve: async (_root, args, context) => {
          const after = args.after === null || args.after === undefined ? null : argumentId('Tenant', 'after', args.after);
          return connectionOf(await context.accessReads.tenantPage({ after, limit: limitOf(args) }), (row) => row.id, args);
        },
      },
      { name: 'TenantConnection', description: 'A page of the list.' },
      { name: 'TenantEdge', description: 'One place in the list.' },
    ),
  );
  addUpdateTenant(kit);
  addApiKeys(kit);
}
