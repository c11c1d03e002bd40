import type { RedisServer, Reply } from './redis-server.ts';
import type { Party, Scheduler } from './scheduler.ts';

/**
 * Watches what one process asks of its lock masters, and judges I10: what it does not use it gives back. Nobody else can: a lease that is left
 * behind looks like one in use, and keeps its device from everybody until it ends by itself.
 *
 * Owns: the tries and releases of one process. Called by its clients (redis-client.ts). Judged a moment after the moment in question, and
 * not in a process that stood still meanwhile:
 * L1 A try that was not won in time has been told to every master to be released.
 * L2 A lease whose yes came after its try was given up is released again, if it still stands: that yes may have overtaken the release.
 * L3 What is released at one master is released at all of them.
 * L4 What was won is heard of again: it is renewed, handed over or released. A claim that ends with an error must not forget it.
 */
export interface LockWatch {
  /** `words` of a command that is sent now; the result wants its answer */
  asked(server: RedisServer, command: string, words: readonly string[]): ((reply: Reply) => void) | undefined;
}

export interface LockWatchDeps {
  readonly scheduler: Scheduler;
  readonly party: Party;
  readonly masters: readonly RedisServer[];
  /** longest wait of the product for one try */
  readonly timeoutMs: number;
  /** a claim has ended by this long after it took its lease, one way or the other */
  readonly claimMs: number;
  violation(invariant: string, what: string): void;
}

/** What is done in the same moment is asked for within this. */
const MOMENT_MS = 20;

interface Try {
  readonly yes: Set<RedisServer>;
  won: boolean;
  /** named in another question than the one that took it */
  heard: boolean;
}

export function createLockWatch(deps: LockWatchDeps): LockWatch {
  const { scheduler, party, masters, violation } = deps;
  const quorum = (masters.length + 1) / 2;
  const tries = new Map<string, Try>();
  /** counts what is asked and answered: much of it happens at one time */
  let order = 0;
  /** place in that order at which each master was last told to release a token */
  const releases = new Map<string, Map<RedisServer, number>>();

  /** runs `judge` later, if the process has run all the time from now to then */
  const judged = (ms: number, what: string, judge: () => void): void => {
    const from = scheduler.now();
    scheduler.at(from + ms, scheduler.world, 'world', what, () => {
      if (party.state === 'up' && party.thawedAt <= from) judge();
    });
  };
  const everywhere = (key: string, token: string, why: string): void => {
    const told = releases.get(token);
    for (const master of masters)
      if (told?.has(master) !== true) violation('I10', `${party.name} ${why} and ${master.name} was not told to release ${key}`);
  };

  const won = (own: Try, key: string): void => {
    own.won = true;
    judged(deps.claimMs, 'lock-claim', () => {
      if (!own.heard) violation('I10', `${party.name} took a lease and forgot it: ${key}`);
    });
  };
  const hear = (token: string | undefined): void => {
    const own = tries.get(token ?? '');
    if (own !== undefined) own.heard = true;
  };

  const take = (server: RedisServer, key: string, token: string): ((reply: Reply) => void) => {
    let attempt = tries.get(token);
    if (attempt === undefined) {
      const made: Try = { yes: new Set(), won: false, heard: false };
      tries.set(token, made);
      attempt = made;
      judged(deps.timeoutMs + MOMENT_MS, 'lock-try', () => {
        if (!made.won) everywhere(key, token, 'did not win a lease in time');
      });
    }
    const own = attempt;
    return (reply) => {
      if (reply !== 1) return;
      const told = releases.get(token);
      if (told === undefined) {
        own.yes.add(server);
        if (own.yes.size === quorum) won(own, key);
        return;
      }
      const at = order++;
      judged(MOMENT_MS, 'lock-late', () => {
        const stands = server.peek(key);
        if ((told.get(server) ?? -1) < at && stands?.type === 'string' && stands.text === token)
          violation('I10', `${party.name} had given up when ${server.name} said yes, and left the lease standing: ${key}`);
      });
    };
  };
  const release = (server: RedisServer, key: string, token: string): void => {
    hear(token);
    const known = releases.get(token);
    if (known !== undefined) {
      known.set(server, order++);
      return;
    }
    releases.set(token, new Map([[server, order++]]));
    if (masters.length > 1) judged(MOMENT_MS, 'lock-release', () => everywhere(key, token, `released a lease at ${server.name}`));
  };

  return {
    asked(server, command, words) {
      if (command !== 'EVALSHA' && command !== 'EVAL') return undefined;
      const count = Number(words[1]);
      const key = words[2] ?? '';
      // by their shape: a generation, three settings, then device, token and epoch of each renew
      if (key.endsWith(':generation')) for (let i = 7; i < words.length; i += 3) hear(words[i]);
      if (!key.endsWith(':lease')) return undefined;
      // keys alone with tokens release; one key, a token and a time to live take; with two tokens each they hand over
      if (words.length === 2 + 2 * count) for (let i = 0; i < count; i++) release(server, words[2 + i] ?? '', words[2 + count + i] ?? '');
      else if (count === 1 && words.length === 5 && /^\d{1,9}$/.test(words[4] ?? '')) return take(server, key, words[3] ?? '');
      else for (let i = 0; i < count; i++) hear(words[2 + count + 2 * i]);
      return undefined;
    },
  };
}
