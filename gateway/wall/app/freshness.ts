/** How old what the wall shows is, and how it says so. Pure. */
export type Freshness = 'CONNECTING' | 'LIVE' | 'LAGGING' | 'STALE' | 'LOST';

export const LAGGING_AFTER_MS = 3_000;
export const STALE_AFTER_MS = 10_000;
export const LOST_AFTER_MS = 30_000;

/** `ageMs` null = nothing was ever received. */
export function freshnessOf(ageMs: number | null): Freshness {
  if (ageMs === null) return 'CONNECTING';
  if (ageMs > LOST_AFTER_MS) return 'LOST';
  if (ageMs > STALE_AFTER_MS) return 'STALE';
  if (ageMs > LAGGING_AFTER_MS) return 'LAGGING';
  return 'LIVE';
}

/** 00:42, or 1:02:03 from an hour on. */
export function clockText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
