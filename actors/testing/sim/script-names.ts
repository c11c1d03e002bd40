import { createHash } from 'node:crypto';
import { readAsset } from '../../../ops/lifecycle/index.ts';

/** The product's scripts by name, as texts. */
export const SCRIPTS = [
  'mailbox/peek',
  'mailbox/look',
  'mailbox/refill',
  'mailbox/astray',
  'mailbox/enqueue',
  'lease/renew',
  'lease/fence',
  'lease/generation',
  'lease/release',
  'lease/transfer',
  'lease/since',
  'placement/beat',
  'placement/leave',
] as const;
export const scriptText = (name: (typeof SCRIPTS)[number]): string => readAsset(import.meta.url, `../../${name}.lua`);

/** Last word of the name by SHA-1, so that the audit knows what runs. */
export function scriptNames(): Map<string, string> {
  return new Map(SCRIPTS.map((name) => [createHash('sha1').update(scriptText(name)).digest('hex'), name.slice(name.indexOf('/') + 1)]));
}
