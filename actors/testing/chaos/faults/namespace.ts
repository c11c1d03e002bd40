import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { seededDice, systemClock } from '../../../../ops/lifecycle/index.ts';
import { createProxy, type FaultProxy } from '../proxy.ts';
import { inTheMiddle } from '../scene.ts';
import type { Fault, Ground, Strike } from './fault.ts';

/**
 * One node in a network namespace of its own, joined to the machine by a pair of virtual interfaces that really go down: no reset, no
 * end, nothing. Owns the namespace and the pair; both are made and removed by the run. The servers listen on loopback alone, so what the
 * node speaks to are plain forwarders on the machine's end of the pair.
 */
const run = promisify(execFile);
const VICTIM = 'node-1';
const DOWN_MS = 9000;

interface Names {
  readonly space: string;
  readonly outer: string;
  readonly inner: string;
  readonly host: string;
  readonly guest: string;
}

/** Names and a /30 of their own for each folder, so that two runs do not meet. */
function namesOf(folder: string): Names {
  const hash = createHash('sha256').update(folder).digest();
  const tag = hash.toString('hex').slice(0, 6);
  const net = `10.213.${hash[0] ?? 0}`;
  const base = (hash[1] ?? 0) & 0xfc;
  return { space: `flotilla-${tag}`, outer: `fl${tag}a`, inner: `fl${tag}b`, host: `${net}.${base + 1}`, guest: `${net}.${base + 2}` };
}

async function lay({ space, outer, inner, host, guest }: Names): Promise<void> {
  await run('ip', ['netns', 'add', space]);
  await run('ip', ['link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', space]);
  await run('ip', ['addr', 'add', `${host}/30`, 'dev', outer]);
  await run('ip', ['link', 'set', outer, 'up']);
  await run('ip', ['-n', space, 'addr', 'add', `${guest}/30`, 'dev', inner]);
  await run('ip', ['-n', space, 'link', 'set', 'lo', 'up']);
  await run('ip', ['-n', space, 'link', 'set', inner, 'up']);
}

async function clear({ space, outer }: Names): Promise<void> {
  await run('ip', ['link', 'del', outer]).catch(() => {});
  await run('ip', ['netns', 'del', space]).catch(() => {});
}

/** Both ways at once, or packets of one way only, dropped by the namespace's own filter. */
const KINDS = ['link down', 'what the node sends is dropped', 'what the node is sent is dropped'] as const;

export function namespaceFault(): Fault {
  let names: Names | undefined;
  const proxies = new Map<string, FaultProxy>();
  /** the same address by way of a forwarder on the machine's end */
  const forward = (kind: string, url: string): string | undefined => {
    const proxy = proxies.get(kind);
    if (proxy === undefined || url === '' || names === undefined) return undefined;
    const parts = /^(.*)127\.0\.0\.1:(\d+)(.*)$/.exec(url);
    if (parts === null) return undefined;
    proxy.target(Number(parts[2]));
    return `${parts[1]}${names.host}:${proxy.port}${parts[3]}`;
  };
  const ground: Ground = {
    name: 'network namespace',
    async missing() {
      if (process.getuid?.() !== 0) return 'making a network namespace needs root';
      const probe = namesOf(`probe ${process.pid}`);
      try {
        await lay(probe);
        return undefined;
      } catch (error) {
        return `a network namespace cannot be made here: ${String((error as { stderr?: unknown }).stderr ?? error).trim()}`;
      } finally {
        await clear(probe);
      }
    },
    async prepare(folder) {
      const mine = namesOf(folder);
      await lay(mine);
      names = mine;
      for (const kind of ['redis', 'postgres', 'phones'])
        proxies.set(kind, await createProxy({ clock: systemClock, dice: seededDice(1) }, mine.host));
      return async () => {
        for (const proxy of proxies.values()) await proxy.close();
        await clear(mine);
      };
    },
    launcherOf: (name) => (name === VICTIM && names !== undefined ? ['ip', 'netns', 'exec', names.space] : []),
    envOf: (name, _folder, servers) =>
      name === VICTIM
        ? {
            REDIS_URL: forward('redis', servers.redisUrl),
            DATABASE_URL: forward('postgres', servers.databaseUrl),
            SIMULATOR_URL: forward('phones', servers.simulatorUrl),
          }
        : {},
  };
  const cut = async (kind: number, { space, inner, outer }: Names): Promise<() => Promise<unknown>> => {
    if (kind === 0) {
      await run('ip', ['link', 'set', outer, 'down']);
      return () => run('ip', ['link', 'set', outer, 'up']);
    }
    const rule = kind === 1 ? ['OUTPUT', '-o', inner, '-j', 'DROP'] : ['INPUT', '-i', inner, '-j', 'DROP'];
    const filter = (what: string) => run('ip', ['netns', 'exec', space, 'iptables', what, ...rule]);
    await filter('-A');
    return () => filter('-D');
  };
  return {
    name: 'namespace-cut',
    case: '6',
    what: `a node in a network namespace of its own, cut off from Redis, Postgres and its phones for ${DOWN_MS / 1000} s: ${KINDS.join('; ')}; in turn`,
    ground,
    strikes: 12,
    atLeast: KINDS.length,
    restMs: 4000,
    // what the node sent in time and the kernel kept arrives when the link is back, after the successor's repeat: the phone drops it
    bounds: { fullRateMs: 10_000, staleRepeats: Number.MAX_SAFE_INTEGER },
    async strike(stage): Promise<Strike> {
      const { clock, deviceIds, turn, say } = stage;
      if (names === undefined) throw new Error('no namespace');
      const kind = turn % KINDS.length;
      const { answered } = await inTheMiddle(stage, deviceIds);
      const at = clock.wall();
      const heal = await cut(kind, names);
      say(`${VICTIM}: ${KINDS[kind] ?? ''} for ${DOWN_MS} ms`);
      await clock.sleep(DOWN_MS);
      await heal();
      const healedAt = clock.wall();
      await answered;
      return { at, healedAt };
    },
  };
}
