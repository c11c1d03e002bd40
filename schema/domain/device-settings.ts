/** What a device's people set for it, as it is kept in the device's settings. */

/** Nothing is sent in these hours; `to` <= `from` reaches over midnight. */
export interface QuietHours {
  /** IANA name */
  readonly zone: string;
  /** HH:MM */
  readonly from: string;
  readonly to: string;
}
/** Most sends a day while a number is new: the first step on the first day, after the last one the device's cap alone. */
export interface Ramp {
  /** the day of the first step, UTC, YYYY-MM-DD */
  readonly from: string;
  readonly steps: readonly number[];
}

/** A device's way out, as it is kept. */
export interface StoredProxy {
  /** base64 of the whole address, sealed with the key ring */
  readonly sealed: string;
  /** the address without its credentials */
  readonly shown: string;
}

export const RAMP_STEPS = 60;

/** Paces that fit most; ms between two sends, drawn evenly. Guesses, on the careful side of what people say they send. */
export const PACE_PROFILES = {
  CAREFUL: { minMs: 20_000, maxMs: 60_000 },
  NORMAL: { minMs: 5_000, maxMs: 15_000 },
  BRISK: { minMs: 2_000, maxMs: 6_000 },
} as const;
export type PaceProfile = keyof typeof PACE_PROFILES;
export const PACE_PROFILE_NAMES = Object.keys(PACE_PROFILES) as readonly PaceProfile[];

export function quietHoursOf(settings: Readonly<Record<string, unknown>>): QuietHours | null {
  return (settings['quietHours'] ?? null) as QuietHours | null;
}
export function rampOf(settings: Readonly<Record<string, unknown>>): Ramp | null {
  return (settings['ramp'] ?? null) as Ramp | null;
}
export function proxyOf(settings: Readonly<Record<string, unknown>>): StoredProxy | null {
  return (settings['proxy'] ?? null) as StoredProxy | null;
}
/** Null: a pace of its own. */
export function paceProfileOf(minMs: number, maxMs: number): PaceProfile | null {
  return PACE_PROFILE_NAMES.find((name) => PACE_PROFILES[name].minMs === minMs && PACE_PROFILES[name].maxMs === maxMs) ?? null;
}
