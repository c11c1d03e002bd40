import type { Kit } from '../builder.ts';
import { type ApiKeyEntry, allows, SCOPES, type Scope } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentId, createChecks } from '../validate.ts';

type KeyAnswer = ({ readonly apiKey: ApiKeyEntry; readonly secret: string } & Refused) | Refused;
type RevokeAnswer = ({ readonly apiKeyId: string } & Refused) | Refused;

function addTypes(kit: Kit) {
  const { builder } = kit;
  const State = builder.enumType('ApiKeyState', {
    description: 'Whether a key works.',
    values: {
      ACTIVE: { value: 'ACTIVE', description: 'It works.' },
      EXPIRED: { value: 'EXPIRED', description: 'Its time is over.' },
      REVOKED: { value: 'REVOKED', description: 'It was revoked.' },
    } as const,
  });
  builder.objectType('ApiKey', {
    description: 'A key of the tenant. The secret itself is kept nowhere.',
    fields: (t) => ({
      id: t.id({ description: 'The id, of the form `ApiKey:uuid`.', resolve: (key) => `ApiKey:${key.id}` }),
      name: t.exposeString('name', { description: 'What it is for.' }),
      scopes: t.field({
        type: [kit.Scope],
        description: 'What it may do.',
        resolve: (key) => SCOPES.filter((scope) => key.scopes.includes(scope)),
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
      expiresAt: t.expose('expiresAt', { type: 'DateTime', nullable: true, description: 'When it stops working by itself.' }),
      revokedAt: t.expose('revokedAt', { type: 'DateTime', nullable: true, description: 'When it was revoked.' }),
      state: t.field({
        type: State,
        description: 'Whether it works.',
        resolve: (key, _args, context) => {
          if (key.revokedAt !== null) return 'REVOKED';
          return key.expiresAt !== null && key.expiresAt <= context.now() ? 'EXPIRED' : 'ACTIVE';
        },
      }),
    }),
  });
  const Create = builder.objectRef<KeyAnswer>('CreateApiKeyPayload').implement({
    description: 'Answer of createApiKey.',
    fields: (t) => ({
      apiKey: t.field({
        type: 'ApiKey',
        nullable: true,
        description: 'The key, without its secret.',
        resolve: (answer) => ('apiKey' in answer ? answer.apiKey : null),
      }),
      secret: t.string({
        nullable: true,
        description: 'The key as it goes into `Authorization: Bearer …`. Shown this once, never again.',
        resolve: (answer) => ('secret' in answer ? answer.secret : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  const Revoke = builder.objectRef<RevokeAnswer>('RevokeApiKeyPayload').implement({
    description: 'Answer of revokeApiKey.',
    fields: (t) => ({
      apiKeyId: t.id({
        nullable: true,
        description: 'The key that stopped working.',
        resolve: (answer) => ('apiKeyId' in answer ? `ApiKey:${answer.apiKeyId}` : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was done.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  return { Create, Revoke };
}

export function addApiKeys(kit: Kit): void {
  const { builder } = kit;
  const { Create, Revoke } = addTypes(kit);
  const CreateInput = builder.inputType('CreateApiKeyInput', {
    description: 'A new key of the tenant.',
    fields: (t) => ({
      name: t.string({ required: true, description: 'what it is for, 1 to 80 characters' }),
      scopes: t.field({ type: [kit.Scope], required: true, description: 'what it may do; at least one' }),
      expiresAt: t.field({ type: 'DateTime', required: false, description: 'when it stops working by itself' }),
      tenantId: t.id({ required: false, description: 'the tenant it is for, when it is another: only with the installation’s own key' }),
    }),
  });
  const RevokeInput = builder.inputType('RevokeApiKeyInput', {
    description: 'Which key to revoke.',
    fields: (t) => ({ apiKeyId: t.id({ required: true, description: 'the key' }) }),
  });
  builder.queryField('apiKeys', (t) =>
    t.connection(
      {
        type: 'ApiKey',
        description: 'The keys of the tenant, oldest first, expired and revoked ones too. Scope ADMIN.',
        authScopes: { scope: 'admin' },
        complexity: (args) => listCost(args),
        resolve: async (_root, args, context) => {
          const after = args.after === null || args.after === undefined ? null : argumentId('ApiKey', 'after', args.after);
          const page = await context.accessReads.apiKeyPage(context.viewer.tenantId, { after, limit: limitOf(args) });
          return connectionOf(page, (row) => row.id, args);
        },
      },
      { name: 'ApiKeyConnection', description: 'A page of the list.' },
      { name: 'ApiKeyEdge', description: 'One place in the list.' },
    ),
  );
  builder.mutationFields((t) => ({
    createApiKey: t.field({
      type: Create,
      description: 'Makes a key for the tenant. Scope ADMIN.',
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: CreateInput, required: true, description: 'the key' }) },
      resolve: (_root, { input }, context): Promise<KeyAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const name = checks.name(['input', 'name'], input.name);
          const scopes: readonly Scope[] = [...new Set(input.scopes)];
          if (scopes.length === 0) checks.add(problem('INVALID_INPUT', ['input', 'scopes'], 'expected at least one scope'));
          if (scopes.some((scope) => !allows(context.viewer, scope))) {
            checks.add(problem('FORBIDDEN', ['input', 'scopes'], 'expected no scope above those of the key that makes it'));
          }
          const expiresAt = input.expiresAt ?? null;
          if (expiresAt !== null && expiresAt <= context.now()) {
            checks.add(problem('INVALID_INPUT', ['input', 'expiresAt'], 'expected a moment in the future'));
          }
          const { tenantId: given } = input;
          const own = context.viewer.tenantId;
          const tenantId = given === null || given === undefined ? own : checks.id('Tenant', ['input', 'tenantId'], given);
          checks.done();
          if (tenantId !== own && (!context.viewer.installation || (await context.accessReads.tenant(tenantId)) === null)) {
            throw new Refusal([problem('NOT_FOUND', ['input', 'tenantId'], 'no tenant with this id that this key may act in')]);
          }
          const made = await context.access.createApiKey(tenantId, { name, scopes, expiresAt });
          await context.audit({ viewer: context.viewer, tenantId, action: 'createApiKey', subject: made.row.id, detail: { scopes } });
          return { apiKey: made.row, secret: made.secret };
        }),
    }),
    revokeApiKey: t.field({
      type: Revoke,
      description: 'The key stops working within two seconds, its open subscriptions too. Scope ADMIN.',
      authScopes: { scope: 'admin' },
      args: { input: t.arg({ type: RevokeInput, required: true, description: 'which' }) },
      resolve: (_root, { input }, context): Promise<RevokeAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('ApiKey', ['input', 'apiKeyId'], input.apiKeyId);
          checks.done();
          const done = await context.access.revokeApiKey(context.viewer.tenantId, id);
          if (!done) throw new Refusal([problem('NOT_FOUND', ['input', 'apiKeyId'], 'no key with this id in this tenant')]);
          await context.audit({ viewer: context.viewer, action: 'revokeApiKey', subject: id });
          return { apiKeyId: id };
        }),
    }),
  }));
}
