import { defineScript, type Redis } from '../../ops/connect/index.ts';
import { readAsset } from '../../ops/lifecycle/index.ts';
import { deviceKeys, FlotillaError, SESSION_PATTERN } from '../../schema/domain/index.ts';
import { keyIdOf } from './key-ring.ts';
import { type Sealed, sealingOf } from './sealed.ts';

const CREDS = 'creds';
const EPOCH = 'epoch';
const PAGE = 500;

/**
 * Sessions in Redis, one hash per device, with no TTL. The fence is the highest epoch that opened or wrote it, in the same hash and the same script.
 * Here Redis is the truth: it needs AOF and `noeviction` (checkRedisKeeps), and a restore from an older state turns ratchets back.
 */
export function createRedisStore(redis: Redis): Sealed {
  const write = defineScript(readAsset(import.meta.url, './session-write.lua'));
  const wipe = defineScript(readAsset(import.meta.url, './session-erase.lua'));
  const exchange = defineScript(readAsset(import.meta.url, './session-swap.lua'));
  const keyOf = (deviceId: string): string => deviceKeys(deviceId).session;
  const fieldOf = (type: string, id: string): string => (type === '' ? CREDS : `${type}\0${id}`);
  const put = async (deviceId: string, epoch: number, pairs: readonly (string | Buffer)[]): Promise<boolean> =>
    (await write.run(redis, [keyOf(deviceId)], [epoch, ...pairs])) === 'OK';
  const devices = async (): Promise<readonly string[]> => {
    const found = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', SESSION_PATTERN, 'COUNT', PAGE);
      cursor = next;
      for (const key of keys) {
        const id = /:d:([0-9a-f-]{36}):session$/.exec(key)?.[1];
        if (id !== undefined && (await redis.hexists(key, CREDS)) === 1) found.add(id);
      }
    } while (cursor !== '0');
    return [...found].sort();
  };
  return {
    async open(deviceId, epoch) {
      // claimed first: from here on nobody before us changes what we read
      await put(deviceId, epoch, []);
      return redis.hgetBuffer(keyOf(deviceId), CREDS);
    },
    async keys(deviceId, type, ids) {
      if (ids.length === 0) return [];
      const values = await redis.hmgetBuffer(keyOf(deviceId), ...ids.map((id) => fieldOf(type, id)));
      return ids.flatMap((id, index) => {
        const value = values[index];
        return value == null ? [] : [{ id, value }];
      });
    },
    saveCreds: (deviceId, epoch, sealed) => put(deviceId, epoch, [CREDS, sealed]),
    setKeys: (deviceId, epoch, keys) =>
      put(
        deviceId,
        epoch,
        keys.flatMap(({ type, id, value }) => [fieldOf(type, id), value ?? '']),
      ),
    erase: async (deviceId, epoch) => (await wipe.run(redis, [keyOf(deviceId)], [epoch])) === 'OK',
    devices,
    async read(deviceId) {
      const all = await redis.hgetallBuffer(keyOf(deviceId));
      const creds = all[CREDS];
      if (creds === undefined) return null;
      const keys = Object.entries(all).flatMap(([field, value]) => {
        const at = field.indexOf('\0');
        return field === CREDS || field === EPOCH || at < 0 ? [] : [{ type: field.slice(0, at), id: field.slice(at + 1), value }];
      });
      return { creds, keys };
    },
    async swap(deviceId, changes) {
      const args = changes.flatMap(({ type, id, old, fresh }) => [fieldOf(type, id), Buffer.from(old), fresh]);
      return Number(await exchange.run(redis, [keyOf(deviceId)], args));
    },
    async sealing() {
      const sessions: { deviceId: string; creds: Buffer }[] = [];
      for (const deviceId of await devices()) {
        const creds = await redis.hgetBuffer(keyOf(deviceId), CREDS);
        if (creds !== null) sessions.push({ deviceId, creds });
      }
      return sealingOf(sessions, keyIdOf);
    },
  };
}

/**
 * Is this a Redis that keeps what it is given? One that may evict, or forgets at a restart, would unlink phones.
 * @throws FlotillaError terminal SESSION_STORE_UNSAFE. A server that does not say (CONFIG not allowed) is believed.
 */
export async function checkRedisKeeps(redis: Redis): Promise<void> {
  const said = async (name: string): Promise<string | undefined> => {
    try {
      const answer = (await redis.config('GET', name)) as readonly string[];
      return answer[1];
    } catch {
      return undefined;
    }
  };
  const policy = await said('maxmemory-policy');
  if (policy !== undefined && policy !== 'noeviction') {
    throw unsafe(`maxmemory-policy is ${policy}: it may throw sessions away. Set it to noeviction`);
  }
  if ((await said('appendonly')) === 'no') throw unsafe('appendonly is no: a restart would lose sessions. Set it to yes');
}

const unsafe = (why: string): FlotillaError =>
  new FlotillaError('terminal', 'SESSION_STORE_UNSAFE', `SESSION_STORE=redis, but this Redis does not keep what it is given: ${why}`);
