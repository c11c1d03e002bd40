// The guardian: one small process per supervisor that ends the supervisor's children when the supervisor is gone. Its stdin is a pipe
// whose only writer is the supervisor; end of file means that the supervisor ended, however it ended (also by SIGKILL).
// Lines on stdin: "+ <pid> app|server <signal>" and "- <pid>". Works everywhere: needs no pdeathsig and no rights.
// Invariants: (I1) only pids that were announced and not taken back are signalled; (I2) apps go before the servers they use;
// (I3) it ends in bounded time, with SIGKILL for whatever did not listen.
import { createInterface } from 'node:readline';
import { startTime } from './lock.mjs';

const GRACE_MS = { app: 2500, server: 4000 };
const children = new Map();

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

function alive(child) {
  if (child.start !== '') return startTime(child.pid) === child.start;
  try {
    process.kill(child.pid, 0);
    return true;
  } catch {
    return false;
  }
}

function signalGroup(child, signal) {
  for (const target of [-child.pid, child.pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // no such group: try the process alone
    }
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function endAll(kind) {
  const chosen = [...children.values()].filter((child) => child.kind === kind && alive(child));
  for (const child of chosen) {
    signalGroup(child, child.signal);
    signalGroup(child, 'SIGCONT');
  }
  for (let waited = 0; waited < GRACE_MS[kind] && chosen.some(alive); waited += 50) await pause(50);
  for (const child of chosen) if (alive(child)) signalGroup(child, 'SIGKILL');
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [verb, pidText, kind, signal] = line.split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 1) return;
  if (verb === '-') children.delete(pid);
  else if (verb === '+')
    children.set(pid, { pid, kind: kind === 'server' ? 'server' : 'app', signal: signal ?? 'SIGTERM', start: startTime(pid) });
});
input.on('close', async () => {
  await endAll('app');
  await endAll('server');
  process.exit(0);
});
