import { crc32, deflateSync } from 'node:zlib';
import QRCode from 'qrcode-terminal/vendor/QRCode/index.js';
import QRErrorCorrectLevel from 'qrcode-terminal/vendor/QRCode/QRErrorCorrectLevel.js';

/** The squares of a QR code, row by row; true = dark. */
function squaresOf(text: string): boolean[][] {
  const code = new QRCode(-1, QRErrorCorrectLevel.L);
  code.addData(text);
  code.make();
  return code.modules;
}

function chunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'ascii'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** light squares around the code, as many as the standard asks for */
const MARGIN = 4;

/**
 * A QR code as a PNG of one bit per pixel, each square `scale` pixels wide. Source: ISO/IEC 15948 (PNG), sections 5 and 11.
 */
export function qrPng(text: string, scale = 6): Buffer {
  const squares = squaresOf(text);
  const width = (squares.length + 2 * MARGIN) * scale;
  const rowBytes = Math.ceil(width / 8);
  const rows: Buffer[] = [];
  for (let y = 0; y < width; y++) {
    // filter 0, then the pixels: 1 = white
    const row = Buffer.alloc(1 + rowBytes, 0xff);
    row[0] = 0;
    for (let x = 0; x < width; x++) {
      if (squares[Math.floor(y / scale) - MARGIN]?.[Math.floor(x / scale) - MARGIN] !== true) continue;
      row[1 + (x >> 3)] = (row[1 + (x >> 3)] ?? 0) & ~(0x80 >> (x & 7));
    }
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(width, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(Buffer.concat(rows))), chunk('IEND', Buffer.alloc(0))]);
}
