import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/**
 * Test builds: a copy of dist/ in a folder of its own in which marked places were changed. The product's own build has no switch for
 * any of this. Every change asserts that it found its place, so a plant that has rotted stops the run instead of proving nothing.
 */
export interface Swap {
  readonly name: string;
  /** which files of the copy, by path from its top */
  readonly in: (path: string) => boolean;
  readonly from: RegExp;
  readonly to: string;
  /** fewer places than this and the test build fails */
  readonly atLeast: number;
}

const one =
  (path: string): ((candidate: string) => boolean) =>
  (candidate) =>
    candidate === path;

/** The environment variable that names the file by whose presence the next commit of a gateway is its last act. */
export const KILL_FILE = 'CHAOS_KILL_FILE';

/** A gateway dies right after a commit, before anything of it is enqueued, once the file named by CHAOS_KILL_FILE is there. */
export const GATEWAY_DEATH: Swap = {
  name: 'gateway dies between commit and enqueue',
  in: one('gateway/accept/accept.js'),
  from: /\/\* committed, not yet enqueued \*\//,
  to: `try { process.getBuiltinModule('node:fs').unlinkSync(process.env['${KILL_FILE}'] ?? ''); process.kill(process.pid, 'SIGKILL'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000); } catch { /* not asked for */ }`,
  atLeast: 1,
};

/** How long the planted build holds a send back between the last check and the write. */
export const HOLD_MS = 200;

/** Every fence check gone from the Lua and SQL files, no local deadline, and time for a stop to strike between check and write. */
const NO_FENCE: readonly Swap[] = [
  { name: 'fence lines of SQL', in: (path) => path.endsWith('.sql'), from: /^.*-- fence$/gm, to: '', atLeast: 3 },
  { name: 'fence lines of Lua', in: (path) => path.endsWith('.lua'), from: /^.*-- fence$/gm, to: '', atLeast: 4 },
  {
    name: 'local deadline',
    in: one('actors/lease/deadline.js'),
    from: /return now < deadline - marginMs;/,
    to: 'return now === now || deadline === marginMs;',
    atLeast: 1,
  },
  {
    name: 'hold between check and write',
    in: one('actors/transports/simulator/pipe.js'),
    from: /\/\* hold point \*\/ (socket\.write\(.*\));/,
    to: `setTimeout(() => $1, ${HOLD_MS});`,
    atLeast: 1,
  },
];

export const PLANTS: Readonly<Record<string, readonly Swap[]>> = { 'no-fence': NO_FENCE };

function* filesOf(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesOf(path);
    else if (entry.isFile()) yield path;
  }
}

/** The files of a tree as a swap makes them; nothing is written. @throws Error when it finds fewer places than it must */
export function swapped(tree: string, swap: Swap): ReadonlyMap<string, string> {
  const pattern = new RegExp(swap.from.source, swap.from.flags.includes('g') ? swap.from.flags : `${swap.from.flags}g`);
  const changed = new Map<string, string>();
  let places = 0;
  for (const file of filesOf(tree)) {
    if (!swap.in(relative(tree, file))) continue;
    const text = readFileSync(file, 'utf8');
    const found = text.match(pattern)?.length ?? 0;
    if (found === 0) continue;
    places += found;
    changed.set(file, text.replace(pattern, swap.to));
  }
  if (places < swap.atLeast) throw new Error(`test build: "${swap.name}" found ${places} places, expected at least ${swap.atLeast}`);
  return changed;
}

/** Changes the files of a tree in place. @throws Error when a swap finds fewer places than it must */
export function applySwaps(tree: string, swaps: readonly Swap[]): void {
  for (const swap of swaps) for (const [file, text] of swapped(tree, swap)) writeFileSync(file, text);
}

/**
 * Copies a built tree and changes the copy.
 * @param distDir the product's build, with package.json and node_modules beside it @param home an empty folder
 * @returns the copy's top folder
 */
export function makeTestBuild(distDir: string, home: string, swaps: readonly Swap[]): string {
  const top = dirname(distDir);
  const copy = join(home, 'dist');
  mkdirSync(home, { recursive: true });
  cpSync(distDir, copy, { recursive: true, filter: (path) => !path.endsWith('.map') });
  for (const name of ['package.json', 'node_modules']) {
    if (existsSync(join(top, name))) symlinkSync(join(top, name), join(home, name));
  }
  applySwaps(copy, swaps);
  return copy;
}
