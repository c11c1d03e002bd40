import { createHash } from 'node:crypto';
import { isMedia, type Lane, type MessageContent, uploadOf, uuidV7 } from '../../domain/index.ts';
import type { AcceptItem, LedgerMessage } from '../../sql/types.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { deviceNotFound } from '../device/index.ts';
import { attempt, problem, Refusal, type Refused } from '../problems.ts';
import { createChecks } from '../validate.ts';
import { type ContentShape, contentInput, contentOf } from './content.ts';

/** A full backlog drains at the device's pace: asking again sooner is of no use. */
const BACKLOG_RETRY_MS = 30_000;

export interface SendInput {
  readonly deviceId: string;
  readonly to: string;
  readonly body?: string | null | undefined;
  readonly content?: ContentShape | null | undefined;
  readonly lane?: Lane | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
  readonly scheduledAt?: number | null | undefined;
}
export type SendAnswer = ({ readonly message: LedgerMessage; readonly held: boolean; readonly replayed: boolean } & Refused) | Refused;

/** SHA-256 over everything an idempotency key stands for. */
function contentHash(
  deviceId: string,
  lane: Lane,
  to: string,
  body: string,
  scheduledAt: number | null,
  content: MessageContent | null,
): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify([deviceId, lane, to, body, scheduledAt, ...(content === null ? [] : [content])]))
    .digest();
}

function itemOf(input: SendInput, context: GraphqlContext): AcceptItem {
  const checks = createChecks();
  const now = context.now();
  const deviceId = checks.id('Device', ['input', 'deviceId'], input.deviceId);
  const recipient = checks.phone(['input', 'to'], input.to);
  const { body, content } = contentOf(checks, input.body, input.content);
  const idempotencyKey = checks.idempotencyKey(['input', 'idempotencyKey'], input.idempotencyKey);
  const scheduledAt = checks.schedule(['input', 'scheduledAt'], input.scheduledAt, now);
  checks.done();
  const lane = input.lane ?? 'high';
  return {
    id: uuidV7(now),
    tenantId: context.viewer.tenantId,
    deviceId,
    lane,
    recipient,
    body,
    idempotencyKey,
    // the hash covers what was asked for, so that a repeat after the scheduled moment is still the same request
    contentHash: contentHash(deviceId, lane, recipient, body, input.scheduledAt ?? null, content),
    scheduledAt,
    traceparent: context.traceparent ?? null,
    content,
  };
}

/** The row as it was just committed: saves a read for every message sent. */
function freshMessage(item: AcceptItem, seq: number | null, now: number): LedgerMessage {
  return {
    id: item.id,
    tenantId: item.tenantId,
    deviceId: item.deviceId,
    lane: item.lane,
    seq,
    state: 'QUEUED',
    attempts: 0,
    recipient: item.recipient,
    body: item.body,
    content: item.content ?? null,
    cause: null,
    lastError: null,
    dueAt: item.scheduledAt ?? now,
    createdAt: now,
    sentAt: null,
    deliveredAt: null,
    readAt: null,
    endedAt: null,
  };
}

export async function sendMessage(input: SendInput, context: GraphqlContext): Promise<SendAnswer> {
  return attempt(async () => {
    const asked = itemOf(input, context);
    if (asked.content != null) await mustSend(asked, context);
    const item = await withUpload(asked, context);
    const outcome = await context.accept.send(item, context.deadline);
    switch (outcome.kind) {
      case 'accepted':
        // written down with others, later: a send does not wait for it
        void context.audit({ viewer: context.viewer, action: 'sendMessage', subject: item.id });
        return { message: freshMessage(item, outcome.seq, context.now()), held: outcome.paused, replayed: false };
      case 'replayed': {
        const message = await context.loaders.message(outcome.id);
        if (message === null)
          throw new Refusal([problem('MESSAGE_NOT_FOUND', ['input', 'idempotencyKey'], 'the message of this key is no longer kept')]);
        return { message, held: false, replayed: true };
      }
      case 'again':
        throw new Refusal([
          problem('UNAVAILABLE', ['input', 'idempotencyKey'], 'another request with this key is under way: ask again', 200),
        ]);
      case 'rejected':
        throw refusalOf(outcome.code);
    }
  });
}

/** A file that was uploaded must be there, of a kind that fits, and still be there when the message is due. */
async function withUpload(item: AcceptItem, context: GraphqlContext): Promise<AcceptItem> {
  const { content } = item;
  if (content == null || !isMedia(content)) return item;
  const id = uploadOf(content.url);
  if (id === null) return item;
  const path = ['input', 'content', content.kind, 'uploadId'];
  const upload = await context.ledger.upload(item.tenantId, id);
  if (upload === null) throw new Refusal([problem('UPLOAD_NOT_FOUND', path, 'no such upload is kept in this tenant')]);
  if (content.kind !== 'document' && content.kind !== upload.kind)
    throw new Refusal([
      problem('CONTENT_INVALID', path, `expected an upload of the kind ${content.kind}: it is of the kind ${upload.kind}`),
    ]);
  if ((item.scheduledAt ?? 0) >= upload.expiresAt)
    throw new Refusal([problem('CONTENT_INVALID', path, 'the upload is forgotten before the message is due')]);
  if (content.kind !== 'document' || content.fileName !== undefined || upload.fileName === null) return item;
  return { ...item, content: { ...content, fileName: upload.fileName } };
}

/** A link device is asked for texts only. */
async function mustSend(item: AcceptItem, context: GraphqlContext): Promise<void> {
  const device = await context.loaders.device(item.deviceId);
  if (device?.transport !== 'link') return;
  throw new Refusal([problem('CONTENT_NOT_SUPPORTED', ['input', 'content'], 'expected a text: this device is a link device')]);
}

function refusalOf(code: 'DEVICE_NOT_FOUND' | 'IDEMPOTENCY_KEY_REUSED' | 'BACKLOG_FULL' | 'RECIPIENT_SUPPRESSED'): Refusal {
  switch (code) {
    case 'DEVICE_NOT_FOUND':
      return deviceNotFound(['input', 'deviceId']);
    case 'IDEMPOTENCY_KEY_REUSED':
      return new Refusal([
        problem(code, ['input', 'idempotencyKey'], 'expected a fresh key: this one was used for a message with other content'),
      ]);
    case 'BACKLOG_FULL':
      return new Refusal([
        problem(code, ['input', 'deviceId'], 'the device has as many unsent messages as it may have: ask again later', BACKLOG_RETRY_MS),
      ]);
    case 'RECIPIENT_SUPPRESSED':
      return new Refusal([problem(code, ['input', 'to'], 'the recipient has asked not to be messaged')]);
  }
}

export function addSendMessage(kit: Kit): void {
  const { builder } = kit;
  const Input = builder.inputType('SendMessageInput', {
    description: 'A message to queue.',
    fields: (t) => ({
      deviceId: t.id({ required: true, description: 'the device that sends it' }),
      to: t.string({ required: true, description: 'the recipient in E.164, such as +491701234567' }),
      body: t.string({ required: false, description: 'the text, 1 to 4,096 characters; with an image, video or document its caption' }),
      content: t.field({ type: contentInput(kit), required: false, description: 'what it is beside its text' }),
      lane: t.field({ type: kit.Lane, required: false, defaultValue: 'high', description: 'priority inside the device' }),
      idempotencyKey: t.string({
        required: false,
        description: '1 to 200 printable ASCII characters: the same key with the same content answers with the same message',
      }),
      scheduledAt: t.field({ type: 'DateTime', required: false, description: 'not before this moment; at most one year ahead' }),
    }),
  });
  const Payload = builder.objectRef<SendAnswer>('SendMessagePayload').implement({
    description: 'Answer of sendMessage. A message here is committed: it will end in bounded time and the ledger says how.',
    fields: (t) => ({
      message: t.field({
        type: 'Message',
        nullable: true,
        description: 'The accepted message.',
        resolve: (answer) => ('message' in answer ? answer.message : null),
      }),
      held: t.boolean({
        description: 'The device is paused: the message waits until it is resumed.',
        resolve: (answer) => 'message' in answer && answer.held,
      }),
      replayed: t.boolean({
        description: 'The idempotency key was known: this is the message of the first request.',
        resolve: (answer) => 'message' in answer && answer.replayed,
      }),
      errors: t.field({ type: ['UserError'], description: 'Empty when it was accepted.', resolve: (answer) => [...answer.errors] }),
    }),
  });
  builder.mutationField('sendMessage', (t) =>
    t.field({
      type: Payload,
      description: 'Queues a message. Answered once it is committed to the ledger. Scope SENDER.',
      authScopes: { scope: 'sender' },
      args: { input: t.arg({ type: Input, required: true, description: 'the message' }) },
      resolve: (_root, args, context) => sendMessage(args.input, context),
    }),
  );
}
