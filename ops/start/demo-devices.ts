import { systemClock } from '../lifecycle/index.ts';
import { type Api, ask, patiently } from './api.ts';

/** Devices made in one request: one alias each, well under the gateway's limit of aliases. */
const CHUNK = 50;
const PAGE = 100;
/** What the API says on a busy machine: asked again so often, a second apart. */
const BUSY = 'UNAVAILABLE';
const TRIES = 30;

interface Page {
  readonly devices: {
    readonly edges: readonly { readonly node: { readonly id: string; readonly name: string } }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}
type Created = Readonly<
  Record<
    string,
    { readonly device: { readonly id: string } | null; readonly errors: readonly { readonly code: string; readonly message: string }[] }
  >
>;

export interface DevicePlan {
  /** pace of new devices, ms between two sends */
  readonly paceMinMs?: number;
  readonly paceMaxMs?: number;
}

/** Name of the n-th simulated device, n from 1: `sim-0001`. */
export const simulatedName = (number: number): string => `sim-${String(number).padStart(4, '0')}`;

async function existing(api: Api): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let after: string | null = null;
  for (let more = true; more; ) {
    const query = `query Simulated($after: String) {
      devices(first: ${PAGE}, after: $after, name: "sim-", transport: SIMULATOR) { edges { node { id name } } pageInfo { hasNextPage endCursor } }
    }`;
    const { devices }: Page = await patiently(systemClock, () => ask<Page>(api, query, { after }));
    for (const { node } of devices.edges) found.set(node.name, node.id);
    more = devices.pageInfo.hasNextPage;
    after = devices.pageInfo.endCursor;
  }
  return found;
}

/** Makes these devices. @returns the ids of those that were made, and the refusal of the first one that was not */
async function make(api: Api, names: readonly string[], pace: string): Promise<{ ids: Map<string, string>; refused: string | null }> {
  const fields = names.map(
    (name, index) =>
      `m${index}: createDevice(input: {name: "${name}", transport: SIMULATOR, ${pace}}) { device { id } errors { code message } }`,
  );
  const ids = new Map<string, string>();
  let made: Created;
  try {
    made = await ask<Created>(api, `mutation Simulate { ${fields.join('\n')} }`);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith(BUSY)) return { ids, refused: error.message };
    throw error;
  }
  let refused: string | null = null;
  for (const [index, name] of names.entries()) {
    const answer = made[`m${index}`];
    const id = answer?.device?.id;
    if (id !== undefined) ids.set(name, id);
    else refused ??= `${answer?.errors[0]?.code ?? 'no answer'} ${answer?.errors[0]?.message ?? ''}`;
  }
  return { ids, refused };
}

/**
 * Makes sure that the simulated devices sim-0001 … exist, through the API. What is there is used again.
 * @returns their ids, in the order of their names. @throws Error with the API's code when a device cannot be made
 */
export async function ensureDevices(api: Api, count: number, plan: DevicePlan = {}): Promise<readonly string[]> {
  let there = await existing(api);
  const names = Array.from({ length: count }, (_, index) => simulatedName(index + 1));
  const pace = `paceMinMs: ${plan.paceMinMs ?? 2_000}, paceMaxMs: ${plan.paceMaxMs ?? 6_000}`;
  for (let tries = 0; ; ) {
    const missing = names.filter((name) => !there.has(name)).slice(0, CHUNK);
    if (missing.length === 0) return names.map((name) => there.get(name) ?? '');
    const { ids, refused } = await make(api, missing, pace);
    for (const [name, id] of ids) there.set(name, id);
    if (refused === null) continue;
    tries += 1;
    // a name is taken when what was refused was made after we had looked
    if (tries > TRIES || !(refused.startsWith(BUSY) || (tries > 1 && refused.startsWith('NAME_TAKEN'))))
      throw new Error(`device ${missing[0]} and others were not made: ${refused}`);
    await systemClock.sleep(1000);
    // what was refused may have been made all the same
    there = await existing(api);
  }
}
