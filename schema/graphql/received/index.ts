import { isUuid } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import { encodeId } from '../builder.ts';
import type { ReceivedKey, ReceivedRow } from '../context.ts';
import { connectionOf, limitOf, listCost } from '../paging.ts';
import { argumentError, argumentId } from '../validate.ts';

/** What devices received. */

const cursorOf = (row: ReceivedRow): string => `${row.receivedMicros}:${row.deviceId}:${row.id}`;
function keyOf(after: string | null | undefined): ReceivedKey | null {
  if (after === null || after === undefined) return null;
  const [, micros = '', deviceId = '', id = ''] = /^(\d{1,16}):([0-9a-f-]{36}):(.{1,200})$/s.exec(after) ?? [];
  if (!isUuid(deviceId)) throw argumentError('INVALID_INPUT', 'after', 'expected a cursor of this list');
  return { receivedMicros: Number(micros), deviceId, id };
}

function addTypes(kit: Kit) {
  const { builder } = kit;
  const Media = builder.objectRef<ReceivedRow>('ReceivedMedia').implement({
    description:
      'A file that came with a message, as its sender describes it. Nothing of it was looked at; it is fetched when it is asked for.',
    fields: (t) => ({
      kind: t.string({ description: 'image, video, audio, document or sticker.', resolve: ({ media }) => media?.kind ?? 'document' }),
      type: t.string({
        description: 'Its media type, as the sender says.',
        resolve: ({ media }) => media?.type ?? 'application/octet-stream',
      }),
      bytes: t.float({ nullable: true, description: 'Its length, as the sender says.', resolve: ({ media }) => media?.bytes ?? null }),
      fileName: t.string({ nullable: true, description: 'The name of a document.', resolve: ({ media }) => media?.fileName ?? null }),
      seconds: t.int({ nullable: true, description: 'Length of a sound or video.', resolve: ({ media }) => media?.seconds ?? null }),
      voice: t.boolean({ description: 'Recorded as a voice message.', resolve: ({ media }) => media?.voice ?? false }),
      downloadPath: t.string({
        nullable: true,
        description: 'GET it here, with the same key (scope VIEWER). Null: the message does not say where the file is.',
        resolve: ({ deviceId, id, media }) =>
          media?.path == null || media.key === null ? null : `/api/media/received/${deviceId}/${encodeURIComponent(id)}`,
      }),
    }),
  });
  return builder.objectRef<ReceivedRow>('ReceivedMessage').implement({
    description: 'A message that somebody sent to a device.',
    fields: (t) => ({
      id: t.id({ description: 'Its id, unique within the device; `replyTo` and `reaction` take it.', resolve: (row) => row.id }),
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device that received it.',
        resolve: (row, _args, context) => context.loaders.deviceEver(row.deviceId),
      }),
      deviceId: t.id({ description: 'Its id.', resolve: (row) => encodeId('Device', row.deviceId) }),
      from: t.exposeString('sender', { description: 'The sender, E.164; the LID where WhatsApp does not say the number.' }),
      fromLid: t.exposeString('senderLid', { nullable: true, description: 'The LID of the sender, when known.' }),
      body: t.exposeString('body', { description: 'The text, or the caption.' }),
      at: t.field({ type: 'DateTime', description: 'When it was sent.', resolve: (row) => Math.floor(row.receivedMicros / 1000) }),
      media: t.field({
        type: Media,
        nullable: true,
        description: 'The file, when there is one.',
        resolve: (row) => (row.media === null ? null : row),
      }),
    }),
  });
}

export function addReceived(kit: Kit): void {
  const Received = addTypes(kit);
  kit.builder.queryField('receivedMessages', (t) =>
    t.connection(
      {
        type: Received,
        description: 'Messages that people sent to the devices of the tenant, newest first.',
        authScopes: { scope: 'viewer' },
        complexity: (args) => listCost(args),
        args: { deviceId: t.arg.id({ required: false, description: 'only what this device received' }) },
        resolve: async (_root, args, context) => {
          const page = await context.ledger.receivedPage(context.viewer.tenantId, {
            deviceId: args.deviceId === null || args.deviceId === undefined ? null : argumentId('Device', 'deviceId', args.deviceId),
            after: keyOf(args.after),
            limit: limitOf(args),
          });
          return connectionOf(page, cursorOf, args);
        },
      },
      { name: 'ReceivedMessageConnection', description: 'A page of the list.' },
      { name: 'ReceivedMessageEdge', description: 'One place in the list.' },
    ),
  );
}
