import type { Glyph } from './palette.ts';

type Stroke = readonly (readonly [number, number])[];
const LOW = 0.28;
const HIGH = 0.72;

/** The strokes of each glyph in a unit square. */
const STROKES: Readonly<Record<Glyph, readonly Stroke[]>> = {
  none: [],
  hollow: [],
  minus: [
    [
      [LOW, 0.5],
      [HIGH, 0.5],
    ],
  ],
  equals: [
    [
      [LOW, 0.4],
      [HIGH, 0.4],
    ],
    [
      [LOW, 0.62],
      [HIGH, 0.62],
    ],
  ],
  slash: [
    [
      [LOW, HIGH],
      [HIGH, LOW],
    ],
  ],
  cross: [
    [
      [LOW, LOW],
      [HIGH, HIGH],
    ],
    [
      [LOW, HIGH],
      [HIGH, LOW],
    ],
  ],
  pause: [
    [
      [0.4, LOW],
      [0.4, HIGH],
    ],
    [
      [0.62, LOW],
      [0.62, HIGH],
    ],
  ],
  chevron: [
    [
      [0.38, LOW],
      [0.66, 0.5],
      [0.38, HIGH],
    ],
  ],
  arrow: [
    [
      [LOW, 0.5],
      [HIGH, 0.5],
    ],
    [
      [0.54, 0.32],
      [HIGH, 0.5],
      [0.54, 0.68],
    ],
  ],
  corner: [
    [
      [LOW, HIGH],
      [LOW, LOW],
      [HIGH, LOW],
    ],
  ],
  lock: [
    [
      [LOW, 0.48],
      [HIGH, 0.48],
      [HIGH, HIGH],
      [LOW, HIGH],
      [LOW, 0.48],
    ],
    [
      [0.38, 0.48],
      [0.38, LOW],
      [0.62, LOW],
      [0.62, 0.48],
    ],
  ],
  question: [
    [
      [0.36, 0.38],
      [0.42, LOW],
      [0.6, LOW],
      [0.64, 0.4],
      [0.5, 0.54],
      [0.5, 0.6],
    ],
    [
      [0.5, 0.7],
      [0.5, 0.76],
    ],
  ],
};

/** Draws a state's glyph into a tile of `size` px whose corner is (x, y). Readable from 9 px on; smaller tiles show the fill alone. */
export function drawGlyph(context: CanvasRenderingContext2D, glyph: Glyph, x: number, y: number, size: number): void {
  if (size < 9) return;
  context.lineWidth = Math.max(1.5, size / 9);
  for (const stroke of STROKES[glyph]) {
    context.beginPath();
    for (const [index, [fx, fy]] of stroke.entries()) {
      if (index === 0) context.moveTo(x + fx * size, y + fy * size);
      else context.lineTo(x + fx * size, y + fy * size);
    }
    context.stroke();
  }
}
