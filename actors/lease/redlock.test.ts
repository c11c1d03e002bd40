import { describe, expect, it } from 'vitest';
import type { Redis } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { createLocks } from './redlock.ts';

/** A lock master in memory that understands redlock's two scripts by their number of arguments: (key, token, ttl) takes, (key, token) releases. */
function master(stored: string | null, behaviour: { readonly take?: () => Promise<void>; readonly refuseReleases?: number } = {}) {
  let value = stored;
  let refuse = behaviour.refuseReleases ?? 0;
  const evalsha = async (_sha: string, _count: number, ...args: (string | number)[]): Promise<number> => {
    const [, token, ttl] = args;
    if (ttl !== undefined) {
      await behaviour.take?.();
      if (value !== null) return 0;
      value = String(token);
      return 1;
    }
    if (refuse-- > 0) throw new Error('connection lost');
    if (value !== token) return 0;
    value = null;
    return 1;
  };
  return { redis: { status: 'ready', evalsha } as unknown as Redis, value: () => value };
}

describe('the guards around redlock', () => {
  const options = { ttlMs: 60_000, marginMs: 100, timeoutMs: 20 };

  it("releases a minority's lock on every master, also where the package's own release failed", async () => {
    const third = master(null, { refuseReleases: 1 });
    const locks = createLocks([master('x').redis, master('y').redis, third.redis], options, systemClock);
    expect(await locks.acquire(['device'])).toEqual([]);
    expect(third.value()).toBeNull();
  });

  it('releases a lock that arrives after the wait, although it could not be released when the wait ended', async () => {
    let arrive = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const only = master(null, { take: () => arrived, refuseReleases: 1 });
    const locks = createLocks([only.redis], options, systemClock);
    expect(await locks.acquire(['device'])).toEqual([]);
    arrive();
    await systemClock.sleep(20);
    expect(only.value()).toBeNull();
  });

  it("releases a master's yes that comes after its try was given up, although its releases came to nothing", async () => {
    let arrive = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    // the package's release, and ours
    const slow = master(null, { take: () => arrived, refuseReleases: 2 });
    const locks = createLocks([master('x').redis, slow.redis, master('y').redis], options, systemClock);
    expect(await locks.acquire(['device'])).toEqual([]);
    arrive();
    await expect.poll(slow.value, { timeout: 25_000 }).toBeNull();
  });

  it('does not ask again at a master that had forgotten the script when the try was given up meanwhile', async () => {
    let refuse = (_error: Error): void => {};
    let takes = 0;
    const forgetful = {
      evalsha: (_sha: string, _count: number, ...args: (string | number)[]): Promise<number> =>
        args.length < 3
          ? Promise.resolve(0)
          : new Promise((_resolve, reject) => {
              refuse = reject;
            }),
      eval: (_lua: string, _count: number, ...args: (string | number)[]): Promise<number> => {
        if (args.length === 3) takes += 1;
        return Promise.resolve(1);
      },
    };
    const locks = createLocks([forgetful as unknown as Redis], options, systemClock);
    expect(await locks.acquire(['device'])).toEqual([]);
    refuse(new Error('NOSCRIPT No matching script.'));
    await systemClock.sleep(20);
    expect(takes).toBe(0);
  });

  it('a device whose first try hangs can be tried again, under another token', async () => {
    let calls = 0;
    const tokens = new Set<unknown>();
    const evalsha = (_sha: string, _count: number, ...args: (string | number)[]): Promise<number> => {
      if (args.length < 3) return Promise.resolve(1);
      tokens.add(args[1]);
      return calls++ === 0 ? new Promise(() => {}) : Promise.resolve(1);
    };
    const locks = createLocks([{ evalsha } as unknown as Redis], options, systemClock);
    expect(await locks.acquire(['device'])).toEqual([]);
    const [lease] = await locks.acquire(['device']);
    expect(lease?.token).toBe([...tokens][1]);
  });

  it('tells every master at once what is given back: those that hang hold up no other', async () => {
    const told = [0, 0];
    const answering = (at: number) => ({
      evalsha: async (_sha: string, count: number) => {
        told[at] = (told[at] ?? 0) + count;
        return count;
      },
    });
    const hanging = { evalsha: () => new Promise(() => {}) };
    const locks = createLocks([hanging, answering(0), answering(1)] as unknown as Redis[], options, systemClock);
    const leases = Array.from({ length: 500 }, () => ({ deviceId: uuidV7(1_700_000_000_000), token: 'token' }));
    void locks.release(leases);
    await expect.poll(() => told, { timeout: 25_000 }).toEqual([500, 500]);
  });

  it('says who gave a lease', async () => {
    const locks = createLocks([master(null).redis, master('x').redis, master(null).redis], options, systemClock);
    const [lease] = await locks.acquire(['device']);
    expect([...(lease?.voters ?? [])]).toEqual([0, 2]);
  });
});
