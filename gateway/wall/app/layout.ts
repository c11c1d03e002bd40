/** Where the blocks of the nodes and the tiles in them stand. Pure: sizes in CSS px. */
export interface Block {
  readonly node: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly columns: number;
}
export interface GridLayout {
  /** px from one tile to the next */
  readonly pitch: number;
  readonly headerHeight: number;
  readonly blocks: readonly Block[];
}

const GAP = 16;
const LARGEST_PITCH = 56;
/** px between a block's edge and its tiles */
export const INSET = 14;

/**
 * One block per node, side by side in as few rows as keep the tiles large. Every device is shown: the pitch is the largest at which
 * all fit. Blocks without devices keep their place, so that an empty node is seen.
 */
export function layoutGrid(counts: ReadonlyMap<string, number>, width: number, height: number, headerHeight: number): GridLayout {
  const nodes = [...counts.keys()].sort();
  if (nodes.length === 0) return { pitch: LARGEST_PITCH, headerHeight, blocks: [] };
  let best: GridLayout | undefined;
  for (let rows = 1; rows <= Math.min(nodes.length, 8); rows++) {
    const perRow = Math.ceil(nodes.length / rows);
    const blockWidth = Math.floor((width - GAP * (perRow - 1)) / perRow);
    const blockHeight = Math.floor((height - GAP * (rows - 1)) / rows);
    const largest = Math.max(1, ...nodes.map((node) => counts.get(node) ?? 0));
    const pitch = largestPitch(largest, blockWidth - 2 * INSET, blockHeight - headerHeight - INSET);
    if (pitch === 0 || (best !== undefined && best.pitch >= pitch)) continue;
    best = {
      pitch,
      headerHeight,
      blocks: nodes.map((node, index) => ({
        node,
        x: (index % perRow) * (blockWidth + GAP),
        y: Math.floor(index / perRow) * (blockHeight + GAP),
        width: blockWidth,
        height: blockHeight,
        columns: Math.max(1, Math.floor((blockWidth - 2 * INSET) / pitch)),
      })),
    };
  }
  return best ?? { pitch: 1, headerHeight, blocks: [] };
}

/** The largest whole pitch at which `count` tiles fit; 0 when even 2 px is too much. */
export function largestPitch(count: number, width: number, height: number): number {
  for (let pitch = LARGEST_PITCH; pitch >= 2; pitch--) {
    if (Math.floor(width / pitch) * Math.floor(height / pitch) >= count) return pitch;
  }
  return 0;
}
