import { PACE_PROFILES, type PaceProfile, type QuietHours, RAMP_STEPS } from '../../domain/index.ts';
import type { DevicePatch, DeviceSettingsPatch } from '../context.ts';
import { problem } from '../problems.ts';
import { type Checks, createChecks, PACE_LIMIT_MS } from '../validate.ts';

/** What is to be changed of a device, checked. */

const CAP_LIMIT = 1_000_000;

type Given<T> = { readonly [K in keyof T]?: T[K] | null | undefined };
export type UpdateInput = Given<{
  readonly name: string;
  readonly paceMinMs: number;
  readonly paceMaxMs: number;
  readonly paceProfile: PaceProfile;
  readonly dailyCap: number;
  readonly noDailyCap: boolean;
  readonly checkNumbers: boolean;
  readonly quietHours: QuietHours;
  readonly noQuietHours: boolean;
  readonly ramp: readonly number[];
  readonly noRamp: boolean;
  readonly proxy: string;
  readonly noProxy: boolean;
}>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

const has = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

/** Whether both ends of the pace fit together is for the ledger to say: one of them may stay as it is. `now`: wall ms */
export function patchOf(input: UpdateInput, now: number): DevicePatch {
  const checks = createChecks();
  const { name, paceMinMs, paceMaxMs, paceProfile, dailyCap, noDailyCap } = input;
  const patch: Writable<DevicePatch> = {};
  if (has(name)) patch.name = checks.name(['input', 'name'], name);
  if (has(paceMinMs)) patch.paceMinMs = checks.whole(['input', 'paceMinMs'], paceMinMs, 0, PACE_LIMIT_MS);
  if (has(paceMaxMs)) patch.paceMaxMs = checks.whole(['input', 'paceMaxMs'], paceMaxMs, 0, PACE_LIMIT_MS);
  if (has(paceProfile)) {
    if (has(paceMinMs) || has(paceMaxMs)) contradiction(checks, 'paceProfile', 'expected a profile or a pace, not both');
    const { minMs, maxMs } = PACE_PROFILES[paceProfile];
    Object.assign(patch, { paceMinMs: minMs, paceMaxMs: maxMs });
  }
  if (has(dailyCap)) patch.dailyCap = checks.whole(['input', 'dailyCap'], dailyCap, 1, CAP_LIMIT);
  if (noDailyCap === true) {
    if (patch.dailyCap !== undefined) contradiction(checks, 'noDailyCap', 'expected a cap or none, not both');
    patch.dailyCap = null;
  }
  const settings = settingsOf(checks, input, now);
  if (Object.keys(settings).length > 0) patch.settings = settings;
  if (Object.keys(patch).length === 0) checks.add(problem('INVALID_INPUT', ['input'], 'expected at least one thing to change'));
  checks.done();
  return patch;
}

const contradiction = (checks: Checks, field: string, text: string): void => checks.add(problem('INVALID_INPUT', ['input', field], text));

function settingsOf(checks: Checks, input: UpdateInput, now: number): DeviceSettingsPatch {
  const { checkNumbers, quietHours, noQuietHours, ramp, noRamp, proxy, noProxy } = input;
  const settings: Writable<DeviceSettingsPatch> = {};
  if (has(checkNumbers)) settings.checkNumbers = checkNumbers;
  if (has(quietHours)) settings.quietHours = quietOf(checks, quietHours);
  if (noQuietHours === true) {
    if (has(quietHours)) contradiction(checks, 'noQuietHours', 'expected quiet hours or none, not both');
    settings.quietHours = null;
  }
  if (has(ramp)) {
    if (ramp.length < 1 || ramp.length > RAMP_STEPS) contradiction(checks, 'ramp', `expected 1 to ${RAMP_STEPS} days, got ${ramp.length}`);
    const steps = ramp.slice(0, RAMP_STEPS).map((step, at) => checks.whole(['input', 'ramp', String(at)], step, 1, CAP_LIMIT));
    settings.ramp = { from: new Date(now).toISOString().slice(0, 10), steps };
  }
  if (noRamp === true) {
    if (has(ramp)) contradiction(checks, 'noRamp', 'expected a ramp or none, not both');
    settings.ramp = null;
  }
  // what is in it is for the port to say: it knows which addresses are taken
  if (has(proxy)) settings.proxy = proxy;
  if (noProxy === true) {
    if (has(proxy)) contradiction(checks, 'noProxy', 'expected a proxy or none, not both');
    settings.proxy = null;
  }
  return settings;
}

function quietOf(checks: Checks, { zone, from, to }: QuietHours): QuietHours {
  const at = ['input', 'quietHours'];
  for (const [name, text] of [
    ['from', from],
    ['to', to],
  ] as const)
    if (!/^([01]\d|2[0-3]):[0-5]\d$/.test(text))
      checks.add(problem('INVALID_INPUT', [...at, name], `expected a time such as 09:30, got "${text.slice(0, 20)}"`));
  if (from === to)
    checks.add(problem('INVALID_INPUT', [...at, 'to'], 'expected another time than `from`: it would never send; pause the device instead'));
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    checks.add(problem('INVALID_INPUT', [...at, 'zone'], 'expected an IANA time zone, such as Europe/Berlin'));
  }
  return { zone, from, to };
}
