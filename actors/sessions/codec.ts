import { FlotillaError } from '../../schema/domain/index.ts';

/**
 * JSON with bytes: a Buffer or Uint8Array is written as {"type":"Buffer","data":"<base64>"}. The same shape as Baileys' BufferJSON,
 * so that its folders can be imported; written here because this folder does not know the WhatsApp library.
 */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item instanceof Uint8Array) return { type: 'Buffer', data: Buffer.from(item).toString('base64') };
    if (isByteObject(item)) return { type: 'Buffer', data: bytesOf(item.data).toString('base64') };
    return item;
  });
}

/** @throws FlotillaError terminal SESSION_CORRUPT when the text is not JSON */
export function decodeJson(text: string): unknown {
  try {
    return JSON.parse(text, (_key, item: unknown) => (isByteObject(item) ? bytesOf(item.data) : item));
  } catch (cause) {
    throw new FlotillaError('terminal', 'SESSION_CORRUPT', 'a stored session opened but does not hold JSON', { cause });
  }
}

type ByteObject = { readonly type: 'Buffer'; readonly data: string | readonly number[] };

/** What JSON.stringify makes of a Buffer before the replacer sees it, and what we write. */
function isByteObject(item: unknown): item is ByteObject {
  if (typeof item !== 'object' || item === null) return false;
  const { type, data } = item as { type?: unknown; data?: unknown };
  return type === 'Buffer' && (typeof data === 'string' || Array.isArray(data));
}

function bytesOf(data: ByteObject['data']): Buffer {
  return typeof data === 'string' ? Buffer.from(data, 'base64') : Buffer.from(data);
}
