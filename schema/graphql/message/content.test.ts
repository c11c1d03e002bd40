import { describe, expect, it } from 'vitest';
import type { Refusal } from '../problems.ts';
import { createChecks } from '../validate.ts';
import { type ContentShape, contentOf } from './content.ts';

const UUID = '01a1fcff-2ea8-7322-8a7d-55030a790e85';
const read = (content: ContentShape | null, body?: string) => {
  const checks = createChecks();
  const result = contentOf(checks, body, content);
  checks.done();
  return result;
};
const faults = (content: ContentShape | null, body?: string): string[] => {
  try {
    read(content, body);
    return [];
  } catch (refusal) {
    return (refusal as Refusal).errors.map((error) => `${error.code} ${error.path?.join('.')}`);
  }
};

describe('content of a message', () => {
  it('none: the text must be there', () => {
    expect(read(null, 'hi')).toEqual({ body: 'hi', content: null });
    expect(read({}, 'hi')).toEqual({ body: 'hi', content: null });
    expect(faults(null)).toEqual(['BODY_EMPTY input.body']);
    expect(faults({ replyTo: UUID })).toEqual(['BODY_EMPTY input.body']);
  });

  it('each kind, cleaned', () => {
    expect(read({ image: { url: 'https://example.com/a b.jpg' } }, 'look')).toEqual({
      body: 'look',
      content: { kind: 'image', url: 'https://example.com/a%20b.jpg' },
    });
    expect(read({ audio: { url: 'http://example.com/a.ogg', voice: true }, replyTo: `Message:${UUID}` }).content).toEqual({
      kind: 'audio',
      url: 'http://example.com/a.ogg',
      voice: true,
      replyTo: UUID,
    });
    expect(read({ location: { latitude: -90, longitude: 180, name: 'Pole' } }).content).toEqual({
      kind: 'location',
      latitude: -90,
      longitude: 180,
      name: 'Pole',
    });
    expect(read({ contact: { name: 'Jane', phone: '+491701234567' } }).content).toEqual({
      kind: 'contact',
      name: 'Jane',
      phone: '+491701234567',
    });
    expect(read({ reaction: { to: '3EB0AABBCCDD', emoji: '' } }).content).toEqual({ kind: 'reaction', to: '3EB0AABBCCDD', emoji: '' });
    expect(read({ replyTo: '3AAABBCCDD' }, 'yes').content).toEqual({ kind: 'text', replyTo: '3AAABBCCDD' });
  });

  it.each<[ContentShape, string | undefined, string]>([
    [{ image: { url: 'https://e.com/a' }, location: { latitude: 0, longitude: 0 } }, undefined, 'input.content'],
    [{ audio: { url: 'https://e.com/a' } }, 'a text', 'input.body'],
    [{ reaction: { to: UUID, emoji: '👍' } }, 'a text', 'input.body'],
    [{ image: { url: 'not a url' } }, undefined, 'input.content.image.url'],
    [{ image: { url: 'file:///etc/passwd' } }, undefined, 'input.content.image.url'],
    [{ document: { url: 'https://me:secret@e.com/a' } }, undefined, 'input.content.document.url'],
    [{ video: { url: `https://e.com/${'a'.repeat(3000)}` } }, undefined, 'input.content.video.url'],
    [{ location: { latitude: 90.1, longitude: 0 } }, undefined, 'input.content.location.latitude'],
    [{ location: { latitude: 0, longitude: Number.NaN } }, undefined, 'input.content.location.longitude'],
    [{ contact: { name: ' ', phone: '+491701234567' } }, undefined, 'input.content.contact.name'],
    [{ reaction: { to: 'nonsense', emoji: '👍' } }, undefined, 'input.content.reaction.to'],
    [{ reaction: { to: UUID, emoji: '👍' }, replyTo: UUID }, undefined, 'input.content.replyTo'],
  ])('%j with %j is refused at %s', (content, body, path) => {
    expect(faults(content, body)).toEqual([`CONTENT_INVALID ${path}`]);
  });
});
