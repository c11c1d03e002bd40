// A lock file between processes of one machine: holds the owner's pid and its start time, so that a lock left by a dead process (or by
// one whose pid was given to another) is taken over. Used by the build and the installer.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Start time of a process in clock ticks since boot, or '' where it is not running or /proc is missing. */
export function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

/** True while the process that wrote "pid start" still runs; one that ended but was not collected by its parent does not. */
export function isAlive(pid, start) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  const found = startTime(pid);
  if (start) return found === start;
  if (existsSync('/proc/self/stat')) return found !== '';
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error?.code === 'EPERM';
  }
}

function holder(path) {
  try {
    const [pid, start] = readFileSync(path, 'utf8').trim().split(' ');
    return { pid: Number(pid), start: start ?? '' };
  } catch {
    return undefined;
  }
}

/** Takes the lock or answers the pid of the living process that has it. */
export function tryLock(path) {
  mkdirSync(dirname(path), { recursive: true });
  for (let attempt = 0; attempt < 5; attempt += 1) {
    try {
      writeFileSync(path, `${process.pid} ${startTime(process.pid)}\n`, { flag: 'wx', mode: 0o600 });
      return undefined;
    } catch (error) {
      if (error?.code !== 'EEXIST') throw error;
    }
    const other = holder(path);
    if (other !== undefined && isAlive(other.pid, other.start)) return other.pid;
    // Renamed first: of several that find the same dead lock only one renames it, and a fresh lock is not removed by a late one.
    const aside = `${path}.${process.pid}`;
    try {
      renameSync(path, aside);
      const moved = holder(aside);
      if (moved !== undefined && isAlive(moved.pid, moved.start)) renameSync(aside, path);
      else rmSync(aside, { force: true });
    } catch (error) {
      if (error?.code !== 'ENOENT') throw error;
    }
  }
  return holder(path)?.pid ?? 0;
}

/** Waits for the lock, runs the task, gives the lock back. */
export async function withLock(path, task, { waiting = () => {} } = {}) {
  let told = false;
  for (let other = tryLock(path); other !== undefined; other = tryLock(path)) {
    if (!told) waiting(other);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await task();
  } finally {
    rmSync(path, { force: true });
  }
}
