import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { finish, type RunResult, table } from '../../ops/report/index.ts';

/**
 * `npm run bench -- <name> [part ...] [--json FILE]`: each bench starts the servers it needs, prints a table and, last, one JSON line. `parts`: only
 * these, none = all; a bench without parts takes none.
 */
export type Bench = (say: (line: string) => void, parts: readonly string[]) => Promise<RunResult>;

/** Loaded when asked for: a bench may need what others do not. */
const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  campaign: async () => (await import('./campaign.ts')).campaign,
  fanout: async () => (await import('./fanout/index.ts')).fanout,
  connections: async () => (await import('./fanout/index.ts')).connections,
  resume: async () => (await import('./live/resume.ts')).resume,
  live: async () => (await import('./live/changes.ts')).live,
  ownership: async () => (await import('./ownership.ts')).ownership,
  link: async () => (await import('./link.ts')).link,
  held: async () => (await import('./held.ts')).held,
  import: async () => (await import('./import.ts')).importBench,
  queries: async () => (await import('./queries.ts')).queries,
  accept: async () => (await import('./accept/index.ts')).accept,
  drain: async () => (await import('./drain/index.ts')).drain,
  pinned: async () => (await import('./pinned/index.ts')).pinned,
  sessions: async () => (await import('./sessions/index.ts')).sessions,
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const text = { type: 'string' } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: text, devices: text, messages: text, requests: text, leads: text, rounds: text, seconds: text },
});
/** sizes are given to the bench as parts: `devices 1000` */
const sizes = (['devices', 'messages', 'requests', 'leads', 'rounds', 'seconds'] as const).flatMap((name) =>
  values[name] === undefined ? [] : [name, values[name]],
);
const load = BENCHES[positionals[0] ?? ''];
if (load === undefined) {
  process.stderr.write(
    `usage: npm run bench -- <${Object.keys(BENCHES).join('|')}> [part ...] [--devices N --messages N --requests N --leads N --rounds N --seconds N] [--json FILE]\n`,
  );
  process.exit(2);
}
// a reader must know what else the machine did
const busy = `load average ${(loadavg()[0] ?? 0).toFixed(1)} on ${cpus().length} cores in the minute before it began`;
const result = await (await load())(say, [...positionals.slice(1), ...sizes]);
say(
  table([
    ['figure', 'value', 'target'],
    ...Object.entries(result.figures).map(([name, value]) => [name, value, result.targets[name] ?? null]),
  ]),
);
const typed = process.argv.slice(2).filter((word, at, all) => !word.startsWith('--json') && all[at - 1] !== '--json');
const command = ['npm run bench --', ...typed].join(' ');
finish(
  { command, ...result, notes: { ...result.notes, machine: busy } },
  { write: (text) => void process.stdout.write(text), jsonFile: values.json },
);
process.exit();
