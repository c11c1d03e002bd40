import { isUuid, MEDIA_KINDS, type MediaContent, type MessageContent, urlOfUpload } from '../../domain/index.ts';
import type { Kit } from '../builder.ts';
import { problem } from '../problems.ts';
import type { Checks } from '../validate.ts';

/** What a message is beside its text, as it is asked for, and checked. */
interface MediaShape {
  readonly url?: string | null | undefined;
  readonly uploadId?: string | null | undefined;
  readonly fileName?: string | null | undefined;
  readonly voice?: boolean | null | undefined;
}
export interface ContentShape {
  readonly image?: MediaShape | null | undefined;
  readonly video?: MediaShape | null | undefined;
  readonly audio?: MediaShape | null | undefined;
  readonly document?: MediaShape | null | undefined;
  readonly location?:
    | {
        readonly latitude: number;
        readonly longitude: number;
        readonly name?: string | null | undefined;
        readonly address?: string | null | undefined;
      }
    | null
    | undefined;
  readonly contact?: { readonly name: string; readonly phone: string } | null | undefined;
  readonly reaction?: { readonly to: string; readonly emoji: string } | null | undefined;
  readonly replyTo?: string | null | undefined;
}

const KINDS = [...MEDIA_KINDS, 'location', 'contact', 'reaction'] as const;
const URL_LIMIT = 2048;
const NAME_LIMIT = 200;
/** one emoji with its modifiers */
const EMOJI_LIMIT = 16;
/** WhatsApp's message ids */
const WIRE_ID = /^[0-9A-F]{8,40}$/;

/** Text and content of a message. Faults go to `checks`; what comes back then is not used. */
export function contentOf(
  checks: Checks,
  body: string | null | undefined,
  given: ContentShape | null | undefined,
): { readonly body: string; readonly content: MessageContent | null } {
  const at = ['input', 'content'];
  const kinds = KINDS.filter((kind) => given?.[kind] != null);
  const fault = (path: readonly string[], text: string): void => checks.add(problem('CONTENT_INVALID', path, text));
  const replyTo = given?.replyTo == null ? undefined : referenceOf(checks, [...at, 'replyTo'], given.replyTo);
  const reply = replyTo === undefined ? {} : { replyTo };
  const none = { body: body ?? '', content: null };
  if (kinds.length > 1) {
    fault(at, `expected one kind of content: ${kinds.join(', ')} are given`);
    return none;
  }
  const [kind] = kinds;
  if (given == null || kind === undefined) {
    const text = checks.body(['input', 'body'], body);
    return { body: text, content: replyTo === undefined ? null : { kind: 'text', replyTo } };
  }
  const captioned = kind === 'image' || kind === 'video' || kind === 'document';
  const hasText = body !== null && body !== undefined && body !== '';
  if (hasText && !captioned) fault(['input', 'body'], `expected no text: ${kind} has none`);
  const caption = hasText && captioned ? checks.body(['input', 'body'], body) : '';
  if (kind === 'location' && given.location != null) return { body: caption, content: { ...locationOf(checks, given.location), ...reply } };
  if (kind === 'contact' && given.contact != null) {
    const name = checks.text([...at, 'contact', 'name'], given.contact.name, NAME_LIMIT);
    if (name.trim() === '') fault([...at, 'contact', 'name'], 'expected a name');
    return { body: caption, content: { kind, name, phone: checks.phone([...at, 'contact', 'phone'], given.contact.phone), ...reply } };
  }
  if (kind === 'reaction' && given.reaction != null) {
    if (replyTo !== undefined) fault([...at, 'replyTo'], 'expected none: a reaction names its message in `to`');
    const emoji = checks.text([...at, 'reaction', 'emoji'], given.reaction.emoji, EMOJI_LIMIT);
    return { body: '', content: { kind, to: referenceOf(checks, [...at, 'reaction', 'to'], given.reaction.to), emoji } };
  }
  const media = given[kind as MediaContent['kind']];
  if (media == null) return none;
  const url = sourceOf(checks, [...at, kind], media);
  const file = media.fileName == null ? {} : { fileName: checks.text([...at, kind, 'fileName'], media.fileName, NAME_LIMIT) };
  const voice = media.voice == null ? {} : { voice: media.voice };
  return { body: caption, content: { kind: kind as MediaContent['kind'], url, ...file, ...voice, ...reply } };
}

function locationOf(checks: Checks, given: NonNullable<ContentShape['location']>): Extract<MessageContent, { kind: 'location' }> {
  const { latitude, longitude } = given;
  const at = ['input', 'content', 'location'];
  if (!(Math.abs(latitude) <= 90)) checks.add(problem('CONTENT_INVALID', [...at, 'latitude'], `expected -90 to 90: it is ${latitude}`));
  if (!(Math.abs(longitude) <= 180))
    checks.add(problem('CONTENT_INVALID', [...at, 'longitude'], `expected -180 to 180: it is ${longitude}`));
  const name = given.name == null ? {} : { name: checks.text([...at, 'name'], given.name, NAME_LIMIT) };
  const address = given.address == null ? {} : { address: checks.text([...at, 'address'], given.address, NAME_LIMIT) };
  return { kind: 'location', latitude, longitude, ...name, ...address };
}

/** `Message:uuid`, the bare uuid, or WhatsApp's own id of a message that was received. */
function referenceOf(checks: Checks, path: readonly string[], text: string): string {
  const id = text.replace(/^Message:/, '').toLowerCase();
  if (isUuid(id)) return id;
  if (!WIRE_ID.test(text))
    checks.add(problem('CONTENT_INVALID', path, 'expected the id of a message: Message:uuid, or the id that WhatsApp gave it'));
  return text;
}

/** One of the two: an address, or a file that was uploaded. Whether there is such a file is for sendMessage to ask. */
function sourceOf(checks: Checks, path: readonly string[], { url, uploadId }: MediaShape): string {
  if ((url == null) === (uploadId == null)) {
    checks.add(problem('CONTENT_INVALID', [...path], 'expected either url or uploadId'));
    return '';
  }
  if (url != null) return urlOf(checks, [...path, 'url'], url);
  const id = (uploadId ?? '').replace(/^Upload:/, '').toLowerCase();
  if (!isUuid(id)) checks.add(problem('CONTENT_INVALID', [...path, 'uploadId'], 'expected the id that POST /api/media gave'));
  return urlOfUpload(id);
}

/** What is behind it is looked at when the message is sent; here only what can never be right is refused. */
function urlOf(checks: Checks, path: readonly string[], text: string): string {
  const fault = (why: string): string => {
    checks.add(problem('CONTENT_INVALID', path, `expected an address such as https://example.com/picture.jpg: ${why}`));
    return text;
  };
  if (text.length > URL_LIMIT) return fault(`it has ${text.length} characters, at most ${URL_LIMIT} are taken`);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return fault('it is no URL');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return fault(`${url.protocol} is not taken`);
  if (url.username !== '' || url.password !== '') return fault('it holds a user name');
  return url.href;
}

/** The inputs of content, for sendMessage. */
export function contentInput(kit: Kit) {
  const { builder } = kit;
  const url = 'http or https, at a public address; fetched by the node when the message is sent';
  const uploadId = 'instead of url: the id that POST /api/media gave';
  const Picture = builder.inputType('PictureInput', {
    description: 'An image or a video; `body` is its caption. Images: JPEG, PNG, at most 5 MB. Videos: MP4, 3GP, at most 16 MB.',
    fields: (t) => ({
      url: t.string({ required: false, description: url }),
      uploadId: t.id({ required: false, description: uploadId }),
    }),
  });
  const Audio = builder.inputType('AudioInput', {
    description: 'A sound: AAC, AMR, MP3, M4A or OGG, at most 16 MB.',
    fields: (t) => ({
      url: t.string({ required: false, description: url }),
      uploadId: t.id({ required: false, description: uploadId }),
      voice: t.boolean({ required: false, description: 'shown as a voice message (OGG with Opus)' }),
    }),
  });
  const Document = builder.inputType('DocumentInput', {
    description: 'A file of any type but a web page, at most 100 MB; `body` is its caption.',
    fields: (t) => ({
      url: t.string({ required: false, description: url }),
      uploadId: t.id({ required: false, description: uploadId }),
      fileName: t.string({
        required: false,
        description: 'what the recipient sees; else the name it was uploaded with, or the last part of the URL',
      }),
    }),
  });
  const Location = builder.inputType('LocationInput', {
    description: 'A place.',
    fields: (t) => ({
      latitude: t.float({ required: true, description: 'degrees, -90 to 90' }),
      longitude: t.float({ required: true, description: 'degrees, -180 to 180' }),
      name: t.string({ required: false, description: 'its name' }),
      address: t.string({ required: false, description: 'its address' }),
    }),
  });
  const Contact = builder.inputType('ContactInput', {
    description: 'A contact card.',
    fields: (t) => ({
      name: t.string({ required: true, description: 'the name shown' }),
      phone: t.string({ required: true, description: 'the number in E.164' }),
    }),
  });
  const Reaction = builder.inputType('ReactionInput', {
    description: 'An emoji on a message of the same chat.',
    fields: (t) => ({
      to: t.id({ required: true, description: 'the message: `Message:uuid`, or the id that WhatsApp gave a received one' }),
      emoji: t.string({ required: true, description: 'one emoji; empty takes the reaction back' }),
    }),
  });
  return builder.inputType('MessageContentInput', {
    description:
      'What a message is beside its text: one kind at most. Only WhatsApp devices send it; link devices refuse it, simulated ones send the text.',
    fields: (t) => ({
      image: t.field({ type: Picture, required: false, description: 'a picture' }),
      video: t.field({ type: Picture, required: false, description: 'a video' }),
      audio: t.field({ type: Audio, required: false, description: 'a sound or voice message' }),
      document: t.field({ type: Document, required: false, description: 'a file' }),
      location: t.field({ type: Location, required: false, description: 'a place' }),
      contact: t.field({ type: Contact, required: false, description: 'a contact card' }),
      reaction: t.field({ type: Reaction, required: false, description: 'a reaction' }),
      replyTo: t.id({
        required: false,
        description: 'the message that is answered: `Message:uuid`, or the id that WhatsApp gave a received one',
      }),
    }),
  });
}
