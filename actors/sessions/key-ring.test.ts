import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeJson, encodeJson } from './codec.ts';
import { loadKeyRing, parseKeyRing } from './key-ring.ts';

const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const codeOf = (action: () => unknown): unknown => {
  try {
    action();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
};

describe('the key ring', () => {
  it('opens what it sealed, and only in the same context', () => {
    const ring = parseKeyRing(`a:${key(1)}`);
    const blob = ring.seal(Buffer.from('secret'), 'device-1');
    expect(ring.open(blob, 'device-1').toString()).toBe('secret');
    expect(blob.includes('secret')).toBe(false);
    expect(codeOf(() => ring.open(blob, 'device-2'))).toBe('SESSION_CORRUPT');
  });

  it('seals with the newest key and opens with any: rotation', () => {
    const old = parseKeyRing(`2025:${key(1)}`);
    const rotated = parseKeyRing(`2026:${key(2)},2025:${key(1)}`);
    expect(rotated.open(old.seal(Buffer.from('x'), 'c'), 'c').toString()).toBe('x');
    expect(rotated.sealsWith).toBe('2026');
    expect(codeOf(() => old.open(rotated.seal(Buffer.from('x'), 'c'), 'c'))).toBe('SESSION_KEY_UNKNOWN');
  });

  it('says so when another key stands under the same id', () => {
    const blob = parseKeyRing(`a:${key(1)}`).seal(Buffer.from('x'), 'c');
    expect(codeOf(() => parseKeyRing(`a:${key(2)}`).open(blob, 'c'))).toBe('SESSION_CORRUPT');
  });

  it('refuses every damaged byte and every cut', () => {
    const ring = parseKeyRing(`a:${key(1)}`);
    const blob = ring.seal(Buffer.from('hello'), 'c');
    for (let at = 0; at < blob.length; at++) {
      const damaged = Buffer.from(blob);
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      expect(['SESSION_CORRUPT', 'SESSION_KEY_UNKNOWN']).toContain(codeOf(() => ring.open(damaged, 'c')));
      expect(codeOf(() => ring.open(blob.subarray(0, at), 'c'))).toBe('SESSION_CORRUPT');
    }
  });

  it.each(['', 'a', 'a:', 'a:AAAA', `a b:${key(1)}`, `a:${key(1)},a:${key(2)}`])('refuses the ring "%s" without showing a key', (text) => {
    expect(codeOf(() => parseKeyRing(text))).toBe('SESSION_KEYS_INVALID');
    expect(() => parseKeyRing(text)).not.toThrow(key(1));
  });
});

describe('the ring of an installation', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ring-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is made once, for its owner only, and read again', () => {
    const data = join(folder, 'data');
    const blob = loadKeyRing({ DATA_DIR: data }).seal(Buffer.from('x'), 'c');
    expect(statSync(join(data, 'session-keys')).mode & 0o777).toBe(0o600);
    expect(loadKeyRing({ DATA_DIR: data }).open(blob, 'c').toString()).toBe('x');
    expect(codeOf(() => loadKeyRing({ DATA_DIR: data, SESSION_KEYS: `z:${key(3)}` }).open(blob, 'c'))).toBe('SESSION_KEY_UNKNOWN');
  });
});

describe('JSON with bytes', () => {
  it('keeps bytes at any depth and reads what Baileys writes', () => {
    const value = { a: Buffer.from([1, 2]), b: [{ c: new Uint8Array([255]) }], d: 'text', e: null };
    expect(decodeJson(encodeJson(value))).toEqual({ a: Buffer.from([1, 2]), b: [{ c: Buffer.from([255]) }], d: 'text', e: null });
    expect(decodeJson('{"k":{"type":"Buffer","data":"AQI="}}')).toEqual({ k: Buffer.from([1, 2]) });
    expect(codeOf(() => decodeJson('{'))).toBe('SESSION_CORRUPT');
  });
});
