/**
 * Where sealed sessions are kept: `postgres`, `redis` or `file`, one for the whole installation (setting SESSION_STORE). What the bytes mean is not
 * known here. Conformance suite: sealed.conformance.ts.
 *
 * K1. A write of a lower epoch than one that has opened the session is refused: false, and what the later owner reads does not change any more.
 * K2. `setKeys` writes all its keys or none; a write that has resolved survives the end of the process.
 * K3. A read is of one moment. Reading is not fenced: a stale owner learns nothing that it may act on.
 */
export interface SealedStore {
  /** the owner of `epoch` begins: returns the creds, or null. A lower epoch than the last one reads too, and is refused when it writes. */
  open(deviceId: string, epoch: number): Promise<Uint8Array | null>;
  /** the keys that are there, in no order */
  keys(deviceId: string, type: string, ids: readonly string[]): Promise<readonly { readonly id: string; readonly value: Uint8Array }[]>;
  saveCreds(deviceId: string, epoch: number, sealed: Buffer): Promise<boolean>;
  setKeys(deviceId: string, epoch: number, keys: readonly SealedKey[]): Promise<boolean>;
  /** removes creds and keys */
  erase(deviceId: string, epoch: number): Promise<boolean>;
}

export interface SealedKey {
  readonly type: string;
  readonly id: string;
  /** null = delete */
  readonly value: Buffer | null;
}

/** One device's session as it is kept. */
export interface SealedSession {
  readonly creds: Uint8Array;
  readonly keys: readonly { readonly type: string; readonly id: string; readonly value: Uint8Array }[];
}

/** What backup, restore and re-sealing need beside the store's own work. */
export interface SealedArchive {
  /** devices that have creds, by id */
  devices(): Promise<readonly string[]>;
  /** creds and keys of one moment; null when there are no creds */
  read(deviceId: string): Promise<SealedSession | null>;
  /** replaces those blobs that still are what they were; of creds type and id are empty. @returns how many */
  swap(
    deviceId: string,
    changes: readonly { readonly type: string; readonly id: string; readonly old: Uint8Array; readonly fresh: Buffer }[],
  ): Promise<number>;
  /** creds of some devices for each key that seals any, to check a ring with */
  sealing(): Promise<readonly SealingKey[]>;
}

export interface SealingKey {
  readonly id: string;
  /** sessions it seals */
  readonly sessions: number;
  readonly samples: readonly { readonly deviceId: string; readonly creds: Uint8Array }[];
}

export type Sealed = SealedStore & SealedArchive;

const SAMPLES = 5;

/** Groups creds by the key that sealed them; what has no readable header is left out: damage, no other key. */
export function sealingOf(
  sessions: Iterable<{ readonly deviceId: string; readonly creds: Uint8Array }>,
  keyIdOf: (blob: Uint8Array) => string | null,
): readonly SealingKey[] {
  const found = new Map<string, { sessions: number; samples: { deviceId: string; creds: Uint8Array }[] }>();
  for (const one of sessions) {
    const id = keyIdOf(one.creds);
    if (id === null) continue;
    const entry = found.get(id) ?? { sessions: 0, samples: [] };
    found.set(id, entry);
    entry.sessions += 1;
    if (entry.samples.length < SAMPLES) entry.samples.push(one);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, { sessions: many, samples }]) => ({ id, sessions: many, samples }));
}
