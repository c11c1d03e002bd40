import type { Kit } from '../builder.ts';
import { SCOPES } from '../context.ts';

export function addViewer(kit: Kit): void {
  const { builder } = kit;
  builder.objectType('Viewer', {
    description: 'Who asks: the key of this request and the tenant it acts in.',
    fields: (t) => ({
      keyId: t.id({ description: 'Id of the key.', resolve: (viewer) => `ApiKey:${viewer.keyId}` }),
      keyName: t.exposeString('keyName', { description: 'Name of the key.' }),
      scopes: t.field({
        type: [kit.Scope],
        description: 'What the key may do.',
        resolve: (viewer) => SCOPES.filter((scope) => viewer.scopes.has(scope)),
      }),
      installation: t.exposeBoolean('installation', { description: 'It is the installation’s own key.' }),
      tenant: t.field({
        type: 'Tenant',
        description: 'The tenant it acts in.',
        resolve: async (viewer, _args, context) => {
          const tenant = await context.accessReads.tenant(viewer.tenantId);
          if (tenant === null) throw new Error(`tenant ${viewer.tenantId} of key ${viewer.keyId} is gone`);
          return tenant;
        },
      }),
    }),
  });
  builder.queryField('viewer', (t) =>
    t.field({
      type: 'Viewer',
      description: 'Who asks.',
      authScopes: { scope: 'screen' },
      resolve: (_root, _args, context) => context.viewer,
    }),
  );
}
