import { readFileSync } from 'node:fs';

/** CPU ms (in steps of ten) and resident bytes of a process. */
export function usage(pid: number): { readonly cpuMs: number; readonly rss: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rss: Number(fields[21]) * 4096 };
}
