import { type DeviceRow, type Fleet, NO_NODE } from './fleet.ts';
import { drawGlyph } from './glyph.ts';
import { type GridLayout, INSET, layoutGrid } from './layout.ts';
import { lookOf } from './palette.ts';

const HEADER_PX = 52;
const FADE_MS = 600;
const TEXT = '#E6EAF0';
const QUIET = '#B4BCC8';
const PANEL = '#1D2128';

/**
 * The canvas of all devices: a block per node, a tile per device. A device is drawn inside the block of the node that owns it.
 * Owns the canvas and its frame loop; draws only when something changed or still fades. Caller: main.tsx.
 */
export interface Grid {
  /** the fleet, the size or the staleness changed */
  invalidate(): void;
  setStale(stale: boolean): void;
  close(): void;
}

export function createGrid(canvas: HTMLCanvasElement, fleet: Fleet): Grid {
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) throw new Error('this browser has no 2d canvas');
  let stale = false;
  let frame = 0;
  let closed = false;
  const draw = (now: number): void => {
    frame = 0;
    if (closed) return;
    if (drawFleet(context, canvas, fleet, stale, now)) schedule();
  };
  const schedule = (): void => {
    if (frame === 0) frame = requestAnimationFrame(draw);
  };
  const observer = new ResizeObserver(schedule);
  observer.observe(canvas);
  schedule();
  return {
    invalidate: schedule,
    setStale(value) {
      if (value !== stale) {
        stale = value;
        schedule();
      }
    },
    close() {
      closed = true;
      observer.disconnect();
      cancelAnimationFrame(frame);
    },
  };
}

/** Draws everything; true while a tile still fades. */
function drawFleet(context: CanvasRenderingContext2D, canvas: HTMLCanvasElement, fleet: Fleet, stale: boolean, now: number): boolean {
  const { width, height } = fitToScreen(context, canvas);
  context.fillStyle = '#15181D';
  context.fillRect(0, 0, width, height);
  const byNode = new Map<string, DeviceRow[]>();
  for (const row of fleet.rows.values()) {
    const name = row.node ?? NO_NODE;
    const list = byNode.get(name);
    if (list === undefined) byNode.set(name, [row]);
    else list.push(row);
  }
  const layout = layoutGrid(new Map([...byNode].map(([node, rows]) => [node, rows.length])), width, height, HEADER_PX);
  let fading = false;
  for (const block of layout.blocks) {
    const rows = (byNode.get(block.node) ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));
    context.fillStyle = PANEL;
    context.fillRect(block.x, block.y, block.width, block.height);
    drawHeader(context, block.node, rows.length, block.x, block.y, block.width);
    rows.forEach((row, index) => {
      const x = block.x + INSET + (index % block.columns) * layout.pitch;
      const y = block.y + HEADER_PX + Math.floor(index / block.columns) * layout.pitch;
      if (drawTile(context, row, x, y, layout, stale, now)) fading = true;
    });
  }
  if (stale) hatch(context, width, height);
  return fading;
}

function fitToScreen(context: CanvasRenderingContext2D, canvas: HTMLCanvasElement): { width: number; height: number } {
  const scale = globalThis.devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { width, height };
}

function drawHeader(context: CanvasRenderingContext2D, node: string, owned: number, x: number, y: number, width: number): void {
  context.textBaseline = 'middle';
  context.font = '600 28px system-ui, sans-serif';
  context.fillStyle = TEXT;
  context.textAlign = 'left';
  context.fillText(node, x + 14, y + HEADER_PX / 2, width * 0.6);
  context.font = '26px system-ui, sans-serif';
  context.fillStyle = QUIET;
  context.textAlign = 'right';
  context.fillText(`${owned}`, x + width - 14, y + HEADER_PX / 2, width * 0.35);
}

function drawTile(
  context: CanvasRenderingContext2D,
  row: DeviceRow,
  x: number,
  y: number,
  layout: GridLayout,
  stale: boolean,
  now: number,
): boolean {
  const look = lookOf(row.state);
  const gap = layout.pitch >= 9 ? 2 : layout.pitch >= 5 ? 1 : 0.5;
  const size = layout.pitch - gap;
  context.globalAlpha = stale ? 0.35 : 1;
  if (look.fill === undefined) {
    context.strokeStyle = look.ink;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  } else {
    context.fillStyle = look.fill;
    context.fillRect(x, y, size, size);
    context.strokeStyle = look.ink;
    drawGlyph(context, look.glyph, x, y, size);
  }
  const age = now - row.changedAt;
  const fades = !stale && age < FADE_MS && !matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (fades) {
    context.globalAlpha = 0.7 * (1 - age / FADE_MS);
    context.fillStyle = '#E6EAF0';
    context.fillRect(x, y, size, size);
  }
  context.globalAlpha = 1;
  return fades;
}

/** Diagonal lines over everything: old data must not look like good data. */
function hatch(context: CanvasRenderingContext2D, width: number, height: number): void {
  context.strokeStyle = '#6B7380';
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = -height; x < width; x += 14) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.globalAlpha = 1;
}
