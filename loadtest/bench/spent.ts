import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** CPU ms: of processes by name, each with its children, and of the whole machine. */
export interface Spent {
  readonly of: Readonly<Record<string, number>>;
  readonly machine: number;
}

/** @param roots process ids by name; a process's children count with it */
export function spent(roots: Readonly<Record<string, number>>): Spent {
  const parents = new Map<number, number>();
  const own = new Map<number, number>();
  /** of children that have ended */
  const ended = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      // state is field 0; the clock counts in steps of 10 ms
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      parents.set(Number(entry), Number(fields[1]));
      own.set(Number(entry), (Number(fields[11]) + Number(fields[12])) * 10);
      ended.set(Number(entry), (Number(fields[13]) + Number(fields[14])) * 10);
    } catch {
      // it has ended meanwhile
    }
  }
  const of: Record<string, number> = {};
  for (const [name, root] of Object.entries(roots)) {
    let sum = ended.get(root) ?? 0;
    for (const [pid, ms] of own) if (pid === root || parents.get(pid) === root) sum += ms;
    of[name] = sum;
  }
  const machine = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { of, machine };
}

/** What was used between two looks: CPU us per message by name, and the share of the machine (percent) that all others took. */
export function between(before: Spent, after: Spent, ms: number, messages: number) {
  const us: Record<string, number> = {};
  let all = 0;
  for (const name of Object.keys(after.of)) {
    const used = (after.of[name] ?? 0) - (before.of[name] ?? 0);
    us[name] = Math.round((used * 1000) / messages);
    all += used;
  }
  const others = after.machine - before.machine - all;
  return { us, othersPercent: Math.max(0, Math.round((others / (ms * cpus().length)) * 100)) };
}
