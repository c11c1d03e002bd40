import { GraphQLError } from 'graphql';
import type { PairingRecord } from '../../domain/index.ts';
import { qrPng } from '../../qr/index.ts';
import type { DeviceRow } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import { encodeId } from '../builder.ts';
import { deviceNotFound } from '../device/mutations.ts';
import type { PairingUpdate } from '../live/port.ts';
import { liveSource } from '../live/source.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { argumentId, createChecks } from '../validate.ts';

type PairAnswer = ({ readonly device: DeviceRow } & Refused) | Refused;
const PAIRING_STAGES = {
  NONE: { value: 'NONE', description: 'None is under way, as far as is known.' },
  CONNECTING: { value: 'CONNECTING', description: 'The owner connects; a code comes next.' },
  QR: { value: 'QR', description: 'A QR code waits for the phone.' },
  CODE: { value: 'CODE', description: 'A code waits to be typed on the phone.' },
  LINKING: { value: 'LINKING', description: 'The phone has accepted; the device logs in.' },
  PAIRED: { value: 'PAIRED', description: 'Done: the device is online.' },
  ENDED: { value: 'ENDED', description: 'It failed; `reason` says why.' },
} as const;
type Stage = keyof typeof PAIRING_STAGES;

function stageOf(record: PairingRecord | null): Stage {
  if (record === null) return 'NONE';
  const { event } = record;
  if (event.kind === 'end') return event.outcome === 'PAIRED' ? 'PAIRED' : 'ENDED';
  return ({ started: 'CONNECTING', qr: 'QR', code: 'CODE', linking: 'LINKING' } as const)[event.kind];
}

const lifeMs = (record: PairingRecord | null): number | null => {
  const event = record?.event;
  return event?.kind === 'qr' || event?.kind === 'code' ? event.lifeMs : null;
};
const qrOf = (record: PairingRecord | null): { text: string; number: number; most: number } | null =>
  record?.event.kind === 'qr' ? record.event : null;

function addUpdate(kit: Kit) {
  const { builder } = kit;
  const PairingStage = builder.enumType('PairingStage', {
    description: 'How far a pairing is. PAIRED and ENDED are the last word of one.',
    values: PAIRING_STAGES,
  });
  return builder.objectRef<PairingUpdate>('PairingUpdate').implement({
    description: 'A pairing as it stands now. A code lives for `remainingMs` from the moment this was sent.',
    fields: (t) => ({
      device: t.id({ description: 'The device.', resolve: (update) => encodeId('Device', update.deviceId) }),
      stage: t.field({ type: PairingStage, description: 'How far it is.', resolve: ({ record }) => stageOf(record) }),
      qr: t.string({
        nullable: true,
        description: 'The text of the QR code to show: WhatsApp, Settings, Linked devices, Link a device.',
        resolve: ({ record }) => qrOf(record)?.text ?? null,
      }),
      png: t.string({
        nullable: true,
        description: 'The same code as a picture: a data: URL of a PNG.',
        complexity: 5,
        resolve: ({ record }) => {
          const qr = qrOf(record);
          return qr === null ? null : `data:image/png;base64,${qrPng(qr.text).toString('base64')}`;
        },
      }),
      code: t.string({
        nullable: true,
        description: 'Eight characters to type on the phone: Link a device, Link with phone number instead.',
        resolve: ({ record }) => (record?.event.kind === 'code' ? record.event.code : null),
      }),
      number: t.int({
        nullable: true,
        description: 'Which QR code of the pairing this is, from 1.',
        resolve: ({ record }) => qrOf(record)?.number ?? null,
      }),
      most: t.int({
        nullable: true,
        description: 'After so many QR codes the pairing has expired.',
        resolve: ({ record }) => qrOf(record)?.most ?? null,
      }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When the code stops working.',
        resolve: ({ record }) => (record === null || lifeMs(record) === null ? null : record.at + (lifeMs(record) ?? 0)),
      }),
      remainingMs: t.int({
        nullable: true,
        description: 'Life the code has left, ms; by the clock of the server, so a wrong clock of the reader does no harm.',
        resolve: ({ record }, _args, context) => {
          const life = lifeMs(record);
          return record === null || life === null ? null : Math.max(0, Math.round(Math.min(life, record.at + life - context.now())));
        },
      }),
      reason: t.string({
        nullable: true,
        description:
          'Why it ended: PAIRING_EXPIRED, WRONG_NUMBER, PASSKEY_REQUIRED, PAIRING_FAILED, NETWORK, or the reason of a disconnect.',
        resolve: ({ record }) => (record?.event.kind === 'end' && record.event.outcome !== 'PAIRED' ? record.event.outcome : null),
      }),
      at: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When its owner said so.',
        resolve: ({ record }) => record?.at ?? null,
      }),
    }),
  });
}

function addMutation(kit: Kit): void {
  const { builder } = kit;
  const Method = builder.enumType('PairingMethod', {
    description: 'How the phone is linked.',
    values: {
      QR: { value: 'qr', description: 'It scans QR codes.' },
      CODE: { value: 'code', description: 'A person types eight characters on it.' },
    } as const,
  });
  const Input = builder.inputType('PairDeviceInput', {
    description: 'Which device to link to a phone, and how.',
    fields: (t) => ({
      deviceId: t.id({ required: true, description: 'the device' }),
      method: t.field({ type: Method, required: true, defaultValue: 'qr', description: 'QR codes, or a code to type' }),
      phone: t.string({ required: false, description: 'E.164 number of the phone; needed for CODE' }),
    }),
  });
  const Payload = builder.objectRef<PairAnswer>('PairDevicePayload').implement({
    description: 'Answer of pairDevice.',
    fields: (t) => ({
      device: t.field({
        type: 'Device',
        nullable: true,
        description: 'The device that is going to be paired.',
        resolve: (answer) => ('device' in answer ? answer.device : null),
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when its owner was asked.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('pairDevice', (t) =>
    t.field({
      type: Payload,
      description:
        'Asks the owner of a WhatsApp device to start a pairing; watch the subscription `pairing`. Errors ALREADY_PAIRED, NOT_A_WHATSAPP_DEVICE. Scope OPERATOR.',
      authScopes: { scope: 'operator' },
      args: { input: t.arg({ type: Input, required: true, description: 'which, and how' }) },
      resolve: (_root, { input }, context): Promise<PairAnswer> =>
        attempt(async () => {
          const checks = createChecks();
          const id = checks.id('Device', ['input', 'deviceId'], String(input.deviceId));
          const phone = input.phone ?? null;
          if (phone !== null) checks.phone(['input', 'phone'], phone);
          else if (input.method === 'code')
            checks.add(problem('INVALID_PHONE', ['input', 'phone'], 'expected the number of the phone: CODE needs it'));
          checks.done();
          const device = await context.devices.pair(context.viewer.tenantId, id, { method: input.method, phone });
          if (device === null) throw deviceNotFound(['input', 'deviceId']);
          if (device === 'ALREADY_PAIRED') {
            throw new Refusal([
              problem('ALREADY_PAIRED', ['input', 'deviceId'], 'expected a device that is not linked: unlink it on its phone first'),
            ]);
          }
          if (device === 'NOT_WHATSAPP') {
            throw new Refusal([
              problem('NOT_A_WHATSAPP_DEVICE', ['input', 'deviceId'], 'expected a WHATSAPP device: others are not paired'),
            ]);
          }
          context.audit({ viewer: context.viewer, action: 'pairDevice', subject: id, detail: { method: input.method } });
          return { device, errors: [] };
        }),
    }),
  );
}

/** Mutation `pairDevice` and subscription `pairing`. */
export function addPairing(kit: Kit): void {
  addMutation(kit);
  const Update = addUpdate(kit);
  kit.builder.subscriptionField('pairing', (t) =>
    t.field({
      type: Update,
      description:
        'The pairing of one device, live: QR codes as they turn, and how it ended. Scope OPERATOR: a code gives the account away.',
      authScopes: { scope: 'operator' },
      complexity: 2,
      args: { deviceId: t.arg.id({ required: true, description: '`Device:uuid`, or the bare uuid' }) },
      subscribe: async (_root, args, context) => {
        const id = argumentId('Device', 'deviceId', String(args.deviceId));
        if ((await context.loaders.device(id)) === null) {
          throw new GraphQLError('there is no such device', { extensions: { code: 'DEVICE_NOT_FOUND', path: ['deviceId'] } });
        }
        return liveSource(context.live.pairing(id), null);
      },
      resolve: (update) => update as PairingUpdate,
    }),
  );
}
