import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { deviceKeys, LEASES_SINCE_KEY, partitionKeys } from '../../schema/domain/index.ts';

const RENEW = defineScript(readAsset(import.meta.url, './renew.lua'));
const FENCE = defineScript(readAsset(import.meta.url, './fence.lua'));
const RELEASE = defineScript(readAsset(import.meta.url, './release.lua'));
const TRANSFER = defineScript(readAsset(import.meta.url, './transfer.lua'));
const SINCE = defineScript(readAsset(import.meta.url, './since.lua'));
const GENERATION = defineScript(readAsset(import.meta.url, './generation.lua'));

/** Most leases in one script call: 0.3 ms of the server (research/actors.md 2.2). */
export const MOST_PER_CALL = 250;

/** How a partition was found to be lost; also the label of the metric. */
export type LostCause = 'MISSING' | 'CHANGED' | 'FENCE';
export interface Lost {
  readonly lost: LostCause;
}
/** One letter per device, in the order asked. */
export interface Answers {
  readonly letters: string;
}

export interface RenewItem {
  readonly deviceId: string;
  readonly token: string;
  readonly epoch: number;
}

function parse(reply: unknown): Lost | Answers {
  const text = String(reply);
  return text.startsWith('LOST_') ? { lost: text.slice(5) as LostCause } : { letters: text };
}

/** The renewal of some leases of one partition. */
export interface RenewCall {
  readonly partition: number;
  /** the one believed in; '' = not checked on this server */
  readonly generation: string;
  /** at most MOST_PER_CALL */
  readonly items: readonly RenewItem[];
}

/** renew.lua, once per call, all in one round trip. `ttlMs` 0 = leases not touched on this server. undefined = no answer. Never throws. */
export async function renewScript(
  redis: Redis,
  calls: readonly RenewCall[],
  options: { readonly ttlMs: number; readonly putBack: boolean },
): Promise<(Lost | Answers | undefined)[]> {
  const sent = calls.map(({ partition, generation, items }) => {
    const args: (string | number)[] = [generation, options.ttlMs, options.putBack ? '1' : '0'];
    for (const item of items) args.push(item.deviceId, item.token, item.epoch);
    return { keys: [partitionKeys(partition).generation], args };
  });
  const replies = await RENEW.runAll(redis, sent).catch(() => []);
  return calls.map((_call, i) => {
    const reply = replies[i];
    return reply === undefined || reply instanceof Error ? undefined : parse(reply);
  });
}

/** fence.lua: letters k installed, f refused because a higher fence stands. */
export async function fenceScript(
  redis: Redis,
  partition: number,
  generation: string,
  items: readonly { readonly deviceId: string; readonly epoch: number }[],
): Promise<Lost | Answers> {
  const keys = [partitionKeys(partition).generation, ...items.map((item) => deviceKeys(item.deviceId).fence)];
  return parse(await FENCE.run(redis, keys, [generation, ...items.map((item) => item.epoch)]));
}

/** release.lua on one server: how many leases were deleted. */
export function releaseScript(redis: Redis, items: readonly { readonly deviceId: string; readonly token: string }[]): Promise<number> {
  const keys = items.map((item) => deviceKeys(item.deviceId).lease);
  return releaseKeys(
    redis,
    keys,
    items.map((item) => item.token),
  );
}
export async function releaseKeys(redis: Redis, keys: readonly string[], tokens: readonly string[]): Promise<number> {
  return Number(await RELEASE.run(redis, keys, tokens));
}

/** transfer.lua on one server: letters k handed over, l not the caller's any more. */
export async function transferScript(
  redis: Redis,
  items: readonly { readonly deviceId: string; readonly token: string; readonly target: string }[],
): Promise<string> {
  const keys = items.map((item) => deviceKeys(item.deviceId).lease);
  return String(
    await TRANSFER.run(
      redis,
      keys,
      items.flatMap((item) => [item.token, item.target]),
    ),
  );
}

/** generation.lua: the generation that stands now. `replace` '' = only where there is none. */
export async function generationScript(redis: Redis, partition: number, random: string, replace: string): Promise<string> {
  return String(await GENERATION.run(redis, [partitionKeys(partition).generation], [random, replace]));
}

/** since.lua on one lock master: for how many ms its leases can be believed, and its clock (unix ms). `anew`: count from now. */
export async function sinceScript(redis: Redis, anew: boolean): Promise<readonly [age: number, now: number]> {
  const [age, now] = (await SINCE.run(redis, [LEASES_SINCE_KEY], [anew ? '1' : '0'])) as [number, number];
  return [age, now];
}
