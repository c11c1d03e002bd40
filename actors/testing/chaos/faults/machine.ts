import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Fault } from './fault.ts';

/** Faults of the machine: a clock that steps, a disk that is full. */
const run = promisify(execFile);

function fakeTimeLibrary(): string | undefined {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib').map((name) => join('/usr/lib', name, 'faketime')) : [];
  return folders.map((folder) => join(folder, 'libfaketime.so.1')).find((path) => existsSync(path));
}

const timeFile = (folder: string): string => join(folder, 'faketime');

export const CLOCK_STEP: Fault = {
  name: 'clock-step',
  what: "one node's wall clock steps an hour ahead, then an hour behind, then back",
  missing: async () => (fakeTimeLibrary() === undefined ? 'libfaketime is not installed (Debian: faketime)' : undefined),
  prepare: async (folder) => {
    writeFileSync(timeFile(folder), '+0');
    return async () => {};
  },
  needs: {
    envOf: (name, folder) =>
      name === 'node-1'
        ? {
            LD_PRELOAD: fakeTimeLibrary(),
            FAKETIME_TIMESTAMP_FILE: timeFile(folder),
            FAKETIME_NO_CACHE: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
            DONT_FAKE_MONOTONIC: '1',
          }
        : {},
  },
  bounds: { fullRateMs: 5000 },
  async strike({ clock, folder, say }) {
    const at = clock.wall();
    for (const offset of ['+3600', '-3600', '+0']) {
      writeFileSync(timeFile(folder), offset);
      say(`node-1 is ${offset} s off`);
      await clock.sleep(5000);
    }
    return { at, healedAt: clock.wall() };
  },
};

const DISK_MB = 24;

export const DISK_FULL: Fault = {
  name: 'disk-full',
  what: "the disk of Redis' append-only file is full; Redis refuses or ends, room is made, Redis starts again",
  needs: { durable: true },
  missing: async () => (process.getuid?.() === 0 ? undefined : 'mounting a small disk needs root'),
  async prepare(folder) {
    const disk = join(folder, 'data', 'redis-data');
    mkdirSync(disk, { recursive: true });
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=0700`, 'tmpfs', disk]);
    return async () => void (await run('umount', ['-l', disk]));
  },
  bounds: { fullRateMs: 10_000 },
  async strike({ clock, stack, folder, say }) {
    const disk = join(folder, 'data', 'redis-data');
    const filler = join(disk, 'filler');
    const at = clock.wall();
    const { bavail, bsize } = statfsSync(disk);
    try {
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize)));
    } catch {
      // full is what was wanted
    }
    await clock.sleep(4000);
    const survived = stack.redis?.running() === true;
    say(survived ? 'Redis refuses writes' : 'Redis ended');
    rmSync(filler, { force: true });
    if (!survived) await stack.redis?.restart();
    return { at, healedAt: clock.wall(), figures: { redisEnded: survived ? 0 : 1 } };
  },
};
