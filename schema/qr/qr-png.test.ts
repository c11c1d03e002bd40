import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { qrPng } from './index.ts';

const dark = (png: Buffer, x: number, y: number): boolean => {
  const width = png.readUInt32BE(16);
  const at = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  const rowBytes = 1 + Math.ceil(width / 8);
  return ((rows[y * rowBytes + 1 + (x >> 3)] ?? 0) & (0x80 >> (x & 7))) === 0;
};

describe('a QR code as a picture', () => {
  it('has a light margin and the three finder patterns', () => {
    const png = qrPng('https://wa.me/settings/linked_devices#1,2,3', 2);
    const width = png.readUInt32BE(16);
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    for (let i = 0; i < 8; i++) expect(dark(png, i, i)).toBe(false);
    // the outer ring of each finder is dark, the ring inside is light
    const [near, far] = [8, width - 8 - 14];
    for (const [x, y] of [
      [near, near],
      [far, near],
      [near, far],
    ] as const) {
      expect(dark(png, x, y)).toBe(true);
      expect(dark(png, x + 2, y + 2)).toBe(false);
      expect(dark(png, x + 6, y + 6)).toBe(true);
    }
  });
});
