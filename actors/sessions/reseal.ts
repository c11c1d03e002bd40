import { FlotillaError } from '../../schema/domain/index.ts';
import { type KeyRing, keyIdOf } from './key-ring.ts';
import type { Sealed } from './sealed.ts';
import { contextOf } from './store.ts';

export interface Resealed {
  readonly sessions: number;
  /** blobs looked at, sealed anew, and those an owner wrote in the same moment (sealed with the newest key by that) */
  readonly blobs: number;
  readonly resealed: number;
  readonly overtaken: number;
  /** blobs that do not open: left as they are */
  readonly unreadable: readonly { readonly device: string; readonly type: string; readonly code: string }[];
  /** what still is sealed with another key than the newest, by key */
  readonly left: Readonly<Record<string, number>>;
}

const AT_ONCE = 200;

/**
 * Seals everything with the ring's newest key, while nodes run (Postgres, Redis): a blob is replaced only if it still is what was read. `dry`: only counts.
 * Afterwards `left` says which old keys are still needed.
 */
export async function resealSessions(sealed: Sealed, ring: KeyRing, dry = false): Promise<Resealed> {
  const totals = { sessions: 0, blobs: 0, resealed: 0, overtaken: 0 };
  const unreadable: { device: string; type: string; code: string }[] = [];
  const left: Record<string, number> = {};
  for (const device of await sealed.devices()) {
    const session = await sealed.read(device);
    if (session === null) continue;
    totals.sessions += 1;
    const changes: { type: string; id: string; old: Uint8Array; fresh: Buffer }[] = [];
    for (const { type, id, value } of [{ type: '', id: '', value: session.creds }, ...session.keys]) {
      totals.blobs += 1;
      const sealedWith = keyIdOf(value) ?? '(damaged)';
      const context = type === '' ? contextOf(device, 'creds', '') : contextOf(device, type, id);
      try {
        const plain = ring.open(value, context);
        if (sealedWith !== ring.sealsWith) changes.push({ type, id, old: value, fresh: ring.seal(plain, context) });
      } catch (error) {
        if (!(error instanceof FlotillaError)) throw error;
        unreadable.push({ device, type: type === '' ? 'creds' : type, code: error.code });
        left[sealedWith] = (left[sealedWith] ?? 0) + 1;
      }
    }
    if (dry) {
      for (const { old } of changes) left[keyIdOf(old) ?? ''] = (left[keyIdOf(old) ?? ''] ?? 0) + 1;
      continue;
    }
    for (let from = 0; from < changes.length; from += AT_ONCE) {
      const some = changes.slice(from, from + AT_ONCE);
      const swapped = await sealed.swap(device, some);
      totals.resealed += swapped;
      totals.overtaken += some.length - swapped;
    }
  }
  return { ...totals, unreadable, left };
}
