import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { rateKey } from '../../schema/domain/index.ts';
import type { ShareSource } from './shares.ts';

const script = defineScript(readAsset(import.meta.url, './lease-share.lua'));

/** Shares out of Redis, many names in one round trip. A call with an unknown outcome may have taken tokens: nobody gets them, which is safe. */
export function sharesFrom(redis: Redis): ShareSource {
  return async (kind, { perSecond, most }, asks) => {
    const calls = asks.map(({ name, wanted }) => ({ keys: [rateKey(kind, name)], args: [perSecond, most, wanted] }));
    const replies = await script.runAll(redis, calls);
    return replies.map((reply) => {
      if (reply instanceof Error) throw reply;
      const [given, waitMs] = reply as [number, number];
      return { given, waitMs };
    });
  };
}
