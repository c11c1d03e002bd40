import type { Swap } from '../chaos/plants.ts';

/**
 * Planted faults that the simulation must find: changes of text in a copy of the build, one each. The simulation is worth what it finds here.
 * Most are in the runtime and its Lua; those in SQL are planted in the models of the statements (ledger-turn, ledger-lanes), because worlds run those.
 */
export interface Mutant extends Swap {
  /** the invariant that should break, for the reader */
  readonly breaks: string;
  /** the worlds in which to look: every so many seeds have what this fault needs (other lock masters, shorter leases); default all */
  readonly seeds: Seeds;
}
export interface Seeds {
  readonly first: number;
  readonly every: number;
  /** only these faults, separated by |: what must meet by chance meets often enough to be looked for */
  readonly faults?: string;
}

const ALL: Seeds = { first: 1, every: 1 };
/** a clock set back and a process that stands still */
const STOPPED_CLOCKS: Seeds = { ...ALL, faults: 'clock of a node|pause' };
/** a Redis that goes back while the ledger is slow to answer */
const ROLLBACKS: Seeds = { ...ALL, faults: 'redis rolled back|postgres lossy|postgres cut' };
/** three or five lock masters (world.ts) */
const MASTERS: Seeds = { first: 3, every: 3 };
/** and leases so short that a try ends before its client's time-out (timing.ts) */
const HURRIED_MASTERS: Seeds = { first: 12, every: 15 };

/** from a world on that is known to have it: Redis goes back while one node stands still and another looks for devices */
const ROLLED_BACK: Seeds = { first: 7123, every: 1 };

const mutant = (name: string, path: string, from: RegExp, to: string, breaks: string, seeds = ALL): Mutant => ({
  name,
  in: (candidate) => candidate === path,
  from,
  to,
  atLeast: 1,
  breaks,
  seeds,
});

export const MUTANTS: readonly Mutant[] = [
  mutant('the peek of an old owner is not fenced', 'actors/mailbox/peek.lua', /^.*-- fence$/m, '', 'I2'),
  mutant('the refill of an old owner is not fenced', 'actors/mailbox/refill.lua', /^.*-- fence$/m, '', 'I2'),
  mutant(
    'an intent counts under any epoch',
    'actors/testing/sim/ledger-turn.js',
    /if \(owner\.epoch !== item\.epoch\)/,
    'if (false)',
    'I2',
  ),
  mutant(
    'a result counts under any epoch and attempt',
    'actors/testing/sim/ledger-turn.js',
    /if \(message\.epoch !== item\.epoch \|\| message\.attempt !== item\.attempt\)/,
    'if (false)',
    'I2',
  ),
  mutant('an epoch is raised without compare', 'actors/testing/sim/ledger-turn.js', /if \(owner\.epoch !== epoch\)/, 'if (false)', 'I2'),
  mutant(
    'a turn that nobody came to adopt counts with every death',
    'actors/testing/sim/ledger-turn.js',
    / && message\.epoch === epoch\b/,
    '',
    'I11',
  ),
  mutant('a death in a turn does not count', 'actors/testing/sim/ledger-turn.js', /if \(crash && inTurn\)/, 'if (false)', 'I11'),
  mutant(
    'a takeover adopts nothing',
    'actors/node/activation.js',
    /deps\.statements\.turn\.adopt\(devices\)/,
    'Promise.resolve({ adopted: [], ended: [] })',
    'I3',
  ),
  mutant(
    'nobody asks for permission in the tick of the send',
    'actors/device/actor.js',
    /const sending = owned\.canAct\(\) && !owned\.signal\.aborted/,
    'owned = { ...owned, canAct: () => true }; const sending = true',
    'I9',
  ),
  mutant(
    'the wall clock alone says when a lease ends',
    'actors/lease/holdings.js',
    /withinDeadline\(clock\.monotonic\(\), entry\.deadline, marginMs\) &&/,
    '',
    'I9',
    STOPPED_CLOCKS,
  ),
  mutant(
    'the mailbox entry goes before the result is committed',
    'actors/device/actor.js',
    /const counted = await settleMessage\(head, resultOf\(about, outcome, decision\)\);/,
    'drop(head); const counted = await settleMessage(head, resultOf(about, outcome, decision));',
    'I3',
  ),
  mutant(
    'a message that waits for a retry leaves its lane',
    'actors/device/actor.js',
    /return block\(head\.lane, decision\.afterMs, 'RETRY_WAIT'\);/,
    'return drop(head);',
    'I3',
  ),
  // with one master the unit tests find it
  mutant(
    'of several masters a renewal without an answer extends',
    'actors/lease/renewal.js',
    /else if \(renewal\.verdict === 'unknown'\)/,
    "else if (renewal.verdict === 'unknown' && core.locks.quorum > 1) holdings.extend(renewal.deviceId, one.token, renewal);\n            else if (renewal.verdict === 'unknown')",
    'I9',
    MASTERS,
  ),
  mutant('a lost bell is not swept up', 'actors/node/sweeps.js', /slots\.get\(deviceId\)\?\.actor\.wake\('sweep'\)/, 'void deviceId', 'I3'),
  mutant(
    'an enqueue that was never told is not swept up',
    'actors/node/sweeps.js',
    /if \(deps\.alive\(owned\.partition\)\)\s*deps\.refill\(/,
    'if (false) deps.refill(',
    'I3',
  ),
  // What the unit tests know of these guards stands in redlock.test.ts: the plain removal of one is found there. These are what they do not know; in a
  // world most of it is hidden by what the package gives back itself, and only the watch on what is asked of the masters sees it (lock-watch.ts).
  mutant(
    'of the masters that say yes to a try that was given up only the last is told again',
    'actors/lease/redlock.js',
    /one\.over && reply === 1/,
    'one.over && reply === 1 && one.waiting === 1',
    'I10',
    HURRIED_MASTERS,
  ),
  mutant(
    'partial leases are not given back when their try takes too long',
    'actors/lease/redlock.js',
    /if \(unknown \|\| masters\.length > 1\)/,
    'if (unknown !== masters.length > 1)',
    'I10',
    HURRIED_MASTERS,
  ),
  mutant(
    'leases are given back at as many masters as decide, not at all of them',
    'actors/lease/redlock.js',
    /(const release = async[\s\S]*?)masters\.map\(/,
    '$1masters.slice(-quorum).map(',
    'I10',
    MASTERS,
  ),
  // that nothing is given back at all the unit tests find
  mutant(
    'a claim of which a part gets through keeps the leases of the rest',
    'actors/lease/claim.js',
    /if \(open\.size > 0\)\s*await locks\.release/,
    'if (open.size > 0 && granted.length === 0) await locks.release',
    'I10',
  ),
  // that a claim asks at all the unit tests find
  mutant(
    'a lock master that went back in time is believed at once',
    'actors/lease/since.lua',
    /string\.sub\(mark, 1, #run \+ 1\) == run \.\. ':'/,
    'true',
    'I9',
    ROLLED_BACK,
  ),
  mutant(
    'a release deletes whoever holds the lease',
    'actors/lease/release.lua',
    /if redis\.call\('GET', KEYS\[i\]\) == ARGV\[i\] then/,
    'if true then',
    'I9',
  ),
  mutant('a renewal extends whoever holds the lease', 'actors/lease/renew.lua', /if holder == token then/, 'if holder then', 'I9'),
  mutant(
    'a lease counts from the answer, not from the question',
    'actors/lease/renew.js',
    /deps\.locks\.deadlines\(sent\)/,
    'deps.locks.deadlines(deps.locks.now())',
    'I9',
  ),
  mutant('an enqueue ignores the gap before it', 'actors/mailbox/enqueue.lua', /seq == last \+ 1/, 'seq > last', 'I5'),
  mutant("an enqueue ignores the window's bound", 'actors/mailbox/enqueue.lua', /redis\.call\('XLEN', stream\) < window/, 'true', 'I8'),
  mutant(
    'a mailbox is started after what is still open',
    'actors/node/refill.js',
    /start: has === undefined \|\| has\.hasOpen \? 0 : has\.nextSeq - 1/,
    'start: has === undefined ? 0 : has.nextSeq - 1',
    'I3',
  ),
  // that they come without the seq they were read behind the unit tests find
  mutant(
    'rows go into a mailbox that was rolled back since they were read',
    'actors/mailbox/refill.lua',
    /last >= tonumber\(ARGV\[i \+ 4\]\)/,
    'true',
    'I5',
    ROLLBACKS,
  ),
  mutant('a refill skips its first entry', 'actors/mailbox/refill.lua', /if seq > last then/, 'if seq > last + 1 or r > i + 6 then', 'I3'),
  mutant('a peek clears a lane with one entry left', 'actors/mailbox/peek.lua', /if length > 0 then/, 'if length > 1 then', 'I3'),
  mutant('the generation is not looked at', 'actors/mailbox/peek.lua', /^if redis\.call\('GET', KEYS\[1\]\) ~= ARGV\[1\].*$/m, '', 'I2'),
  mutant(
    'what is unknown is repeated where it may not be',
    'actors/device/actor.js',
    /paceMs, kind\.resendsUnknown, /,
    'paceMs, true, ',
    'I4',
  ),
  mutant(
    'a result is not repeated',
    'actors/node/ledger.js',
    /insist\(\(\) => statements\.result\(items\)\)/,
    'guarded(() => statements.result(items))',
    'I0',
  ),
  mutant(
    'retries are written by the clock of the node',
    'actors/testing/sim/ledger-turn.js',
    /message\.dueAt = now \+ Math\.max\(0, \(item\.dueAt \?\? item\.at\) - item\.at\);/,
    'message.dueAt = item.dueAt ?? now;',
    'I3',
  ),
];
