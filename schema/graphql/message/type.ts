import type { Kit } from '../builder.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { argumentId } from '../validate.ts';

export function addMessageType(kit: Kit): void {
  const { builder } = kit;
  builder.node('Message', {
    description: 'One message in the ledger.',
    id: { resolve: (message) => message.id },
    loadOne: (id, context) => context.loaders.message(id),
    fields: (t) => ({
      device: t.field({
        type: 'Device',
        description: 'The device that sends it.',
        resolve: async (message, _args, context) => {
          const device = await context.loaders.deviceEver(message.deviceId);
          if (device === null) throw new Error(`message ${message.id}: its device ${message.deviceId} is gone`);
          return device;
        },
      }),
      to: t.exposeString('recipient', { description: 'The recipient, E.164.' }),
      body: t.exposeString('body', { nullable: true, description: 'The text, or the caption.' }),
      kind: t.string({
        description: 'What it is: text, image, video, audio, document, location, contact or reaction.',
        resolve: (message) => message.content?.kind ?? 'text',
      }),
      state: t.expose('state', { type: kit.MessageState, description: 'Where it stands.' }),
      lane: t.expose('lane', { type: kit.Lane, description: 'Its lane.' }),
      seq: t.expose('seq', { type: 'Float', nullable: true, description: 'Its place in the lane; null until it is due.' }),
      attempts: t.exposeInt('attempts', { description: 'How often it was tried.' }),
      cause: t.exposeString('cause', { nullable: true, description: 'Machine-readable why, for every end but SENT and further.' }),
      lastError: t.exposeString('lastError', { nullable: true, description: 'What the transport said last.' }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was accepted.' }),
      dueAt: t.expose('dueAt', { type: 'DateTime', description: 'Not before: its schedule, or its next try.' }),
      sentAt: t.expose('sentAt', { type: 'DateTime', nullable: true, description: 'When the provider took it.' }),
      deliveredAt: t.expose('deliveredAt', { type: 'DateTime', nullable: true, description: 'When it reached the recipient.' }),
      readAt: t.expose('readAt', { type: 'DateTime', nullable: true, description: 'When it was read.' }),
      endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it stopped being backlog.' }),
    }),
  });
}

export function addMessageQueries(kit: Kit): void {
  const { builder } = kit;
  builder.queryField('message', (t) =>
    t.field({
      type: 'Message',
      nullable: true,
      description: 'One message. Null when there is none or it belongs to someone else.',
      authScopes: { scope: 'viewer' },
      args: { id: t.arg.id({ required: true, description: '`Message:uuid`, or the bare uuid' }) },
      resolve: (_root, args, context) => context.loaders.message(argumentId('Message', 'id', args.id)),
    }),
  );
  builder.queryField('messages', (t) =>
    t.connection(
      {
        type: 'Message',
        description: 'The messages of the tenant, newest first.',
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        args: {
          deviceId: t.arg.id({ required: false, description: 'only messages of this device' }),
          state: t.arg({
            type: [kit.MessageState],
            required: false,
            description: 'only messages in one of these states; a page may then be short, or empty, and have a next one',
          }),
        },
        resolve: async (_root, args, context) => {
          const page = await context.ledger.messagePage(context.viewer.tenantId, {
            deviceId: args.deviceId === null || args.deviceId === undefined ? null : argumentId('Device', 'deviceId', args.deviceId),
            states: args.state ?? null,
            after: args.after === null || args.after === undefined ? null : argumentId('Message', 'after', args.after),
            limit: limitOf(args),
          });
          return connectionOf(page, (row) => row.id, args);
        },
      },
      { name: 'MessageConnection', description: 'A page of the list.' },
      { name: 'MessageEdge', description: 'One place in the list.' },
    ),
  );
}
