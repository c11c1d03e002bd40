import type { Kit } from '../builder.ts';

export function addNode(kit: Kit): void {
  const { builder } = kit;
  builder.objectType('ActorNode', {
    description: 'A process that hosts devices.',
    fields: (t) => ({
      id: t.exposeID('id', { description: 'Its name.' }),
      state: t.expose('state', { type: kit.NodeState, description: 'Where it stands in its life.' }),
      version: t.exposeString('version', { description: 'Version of the product it runs.' }),
      host: t.exposeString('host', { description: 'The machine.' }),
      capacity: t.exposeInt('capacity', { description: 'The most devices it takes.' }),
      devices: t.exposeInt('devices', { description: 'Devices it owns.' }),
      startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it started.' }),
      seenAt: t.expose('seenAt', { type: 'DateTime', description: 'When it last said that it lives.' }),
    }),
  });
  builder.queryField('nodes', (t) =>
    t.field({
      type: ['ActorNode'],
      description: 'The actor nodes that live or lived lately.',
      authScopes: { scope: 'screen' },
      complexity: { field: 1, multiplier: 10 },
      resolve: async (_root, _args, context) => [...(await context.fleet.nodes())],
    }),
  );
}
