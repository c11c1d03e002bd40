/**
 * How a device state looks. Grey is normal, colour is trouble, and no state is told by colour alone: each has a glyph and a count.
 * Fills and their contrasts on the page colour are those of docs/architecture.md, "Wall"; the smallest colour distance between two
 * fills stays above 12 (CIEDE2000) for protan, deutan and tritan sight.
 */
export type Glyph =
  | 'none'
  | 'hollow'
  | 'corner'
  | 'chevron'
  | 'equals'
  | 'slash'
  | 'pause'
  | 'minus'
  | 'cross'
  | 'arrow'
  | 'question'
  | 'lock';
export interface Look {
  readonly label: string;
  /** undefined: outline only */
  readonly fill: string | undefined;
  readonly ink: string;
  readonly glyph: Glyph;
  /** trouble sorts first in the legend */
  readonly weight: number;
}

export const LOOKS: Readonly<Record<string, Look>> = {
  LOGGED_OUT: { label: 'Logged out', fill: '#BC51A4', ink: '#FFFFFF', glyph: 'cross', weight: 9 },
  QUARANTINED: { label: 'Quarantined', fill: '#BC51A4', ink: '#FFFFFF', glyph: 'lock', weight: 8 },
  OFFLINE: { label: 'Offline', fill: '#E5404A', ink: '#000000', glyph: 'minus', weight: 7 },
  CIRCUIT_OPEN: { label: 'Circuit open', fill: '#F5924E', ink: '#000000', glyph: 'slash', weight: 6 },
  THROTTLED: { label: 'Throttled', fill: '#F0E130', ink: '#000000', glyph: 'equals', weight: 5 },
  UNKNOWN: { label: 'Unknown', fill: '#3A4048', ink: '#F0E130', glyph: 'question', weight: 4 },
  MOVING: { label: 'Moving', fill: '#EBD3FF', ink: '#000000', glyph: 'arrow', weight: 3 },
  CONNECTING: { label: 'Connecting', fill: '#1F87DE', ink: '#000000', glyph: 'chevron', weight: 3 },
  PAIRING: { label: 'Pairing', fill: '#1F87DE', ink: '#000000', glyph: 'corner', weight: 3 },
  PAUSED: { label: 'Paused', fill: '#5E656F', ink: '#FFFFFF', glyph: 'pause', weight: 2 },
  SENDING: { label: 'Sending', fill: '#A4B3BD', ink: '#000000', glyph: 'none', weight: 1 },
  ONLINE: { label: 'Online', fill: '#5E656F', ink: '#000000', glyph: 'none', weight: 0 },
  UNPAIRED: { label: 'Unpaired', fill: undefined, ink: '#6B7380', glyph: 'hollow', weight: 0 },
};
const UNKNOWN_LOOK = LOOKS['UNKNOWN'] as Look;

/** A state this build does not know is shown as unknown, never as good. */
export function lookOf(state: string): Look {
  return LOOKS[state] ?? UNKNOWN_LOOK;
}
