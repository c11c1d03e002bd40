import type { Kit } from '../builder.ts';
import { type ApiKeyRow, allows, SCOPES, type Scope } from '../context.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';

type KeyAnswer = ({ readonly apiKey: ApiKeyRow; readonly secret: string } & Refused) | Refused;
type RevokeAnswer = ({ readonly apiKeyId: string } & Refused) | Refused;

function addTypes(kit: Kit) {
  const { builder } = kit;
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
      expiresAt: t.expose('expiresAt', { type: 'DateTime', nullable: true, description: 'When it stops working by itself.' }),
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
    }),
  });
  const RevokeInput = builder.inputType('RevokeApiKeyInput', {
    description: 'Which key to revoke.',
    fields: (t) => ({ apiKeyId: t.id({ required: true, description: 'the key' }) }),
  });
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
          checks.done();
          const made = await context.access.createApiKey(context.viewer.tenantId, { name, scopes, expiresAt });
          context.audit({ viewer: context.viewer, action: 'createApiKey', subject: made.row.id, detail: { scopes } });
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
          context.audit({ viewer: context.viewer, action: 'revokeApiKey', subject: id });
          return { apiKeyId: id };
        }),
    }),
  }));
}
