import { execFile } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectPostgres } from '../../../../ops/connect/index.ts';
import { readAsset } from '../../../../ops/lifecycle/index.ts';
import type { Fault, Ground, Stage, Strike } from './fault.ts';
import { createRedisClock, type RedisClock, redisClockMissing } from './redis-clock.ts';

/** Faults of the machine: a clock that steps, a disk that is full. */
const run = promisify(execFile);
const NEXT_LOG = readAsset(import.meta.url, './next-log.sql');
const LOG_FILES = 200;
const FILL_BYTES = 1 << 20;

/** libfaketime, wherever Debian puts it for this processor. */
function fakeTimeLibrary(): string | undefined {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib').map((name) => join('/usr/lib', name, 'faketime')) : [];
  return folders.map((folder) => join(folder, 'libfaketime.so.1')).find((path) => existsSync(path));
}
const FAKETIME_MISSING = 'libfaketime is not installed (Debian: apt-get install faketime)';

/** Settings of a process whose wall clock is off by what stands in the file, such as `+3600`. Its monotonic clock is not touched. */
const fakeTime = (file: string): Record<string, string | undefined> => ({
  LD_PRELOAD: fakeTimeLibrary(),
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_NO_CACHE: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
  DONT_FAKE_MONOTONIC: '1',
});

const timeFile = (folder: string): string => join(folder, 'faketime-node-1');
const OFF_MS = 4000;
const OFFSETS = [3600, -3600, 0];

const NODE_CLOCK: Ground = {
  name: 'clock of a node',
  missing: async () => (fakeTimeLibrary() === undefined ? FAKETIME_MISSING : undefined),
  prepare: async (folder) => {
    writeFileSync(timeFile(folder), '+0');
    return async () => {};
  },
  envOf: (name, folder) => (name === 'node-1' ? fakeTime(timeFile(folder)) : {}),
};

async function stepClock({ clock, say }: Stage, whose: string, step: (seconds: number) => void): Promise<Strike> {
  const at = clock.wall();
  for (const seconds of OFFSETS) {
    step(seconds);
    say(`the clock of ${whose} is ${seconds} s off`);
    await clock.sleep(OFF_MS);
  }
  return { at, healedAt: clock.wall() };
}

export const CLOCK_STEP: Fault = {
  name: 'clock-step',
  case: '11',
  what: "one node's wall clock steps an hour ahead, then an hour behind, then back",
  ground: NODE_CLOCK,
  strikes: 10,
  bounds: { fullRateMs: 5000 },
  strike: (stage) => stepClock(stage, 'node-1', (seconds) => writeFileSync(timeFile(stage.folder), `${seconds < 0 ? '' : '+'}${seconds}`)),
};

/** A fault with a clock of its own: it lives as long as its stack. */
export function redisClockFault(): Fault {
  let theirs: RedisClock | undefined;
  const ground: Ground = {
    name: 'clock of Redis',
    missing: redisClockMissing,
    async prepare(folder) {
      theirs = await createRedisClock(folder, 'redis-clock');
      return async () => {};
    },
    envOf: (name) => (name === 'redis' ? (theirs?.env ?? {}) : {}),
  };
  return {
    name: 'clock-step-redis',
    case: '11',
    what: 'the wall clock of Redis, by which leases expire, steps an hour ahead, then an hour behind, then back',
    ground,
    strikes: 10,
    bounds: { fullRateMs: 10_000 },
    strike: (stage) => stepClock(stage, 'Redis', (seconds) => theirs?.step(seconds)),
  };
}

/** The disks of a stack, MB: the one of Postgres, and on it the one of Redis. Our own logs are elsewhere. */
const DISKS = { postgres: 2000, redis: 400 } as const;
const diskOf = (folder: string, name: keyof typeof DISKS): string => join(folder, 'data', name === 'redis' ? 'redis-data' : '.');

const SMALL_DISKS: Ground = {
  name: 'small disks',
  durable: true,
  missing: async () => (process.getuid?.() === 0 ? undefined : 'mounting a small disk needs root'),
  async prepare(folder) {
    const mounted: string[] = [];
    const undo = async (): Promise<void> => {
      for (const disk of mounted.reverse()) await run('umount', ['-l', disk]);
    };
    for (const name of ['postgres', 'redis'] as const) {
      const disk = diskOf(folder, name);
      mkdirSync(disk, { recursive: true });
      try {
        await run('mount', ['-t', 'tmpfs', '-o', `size=${DISKS[name]}m,mode=0700`, 'tmpfs', disk]);
      } catch (error) {
        await undo();
        throw error;
      }
      mounted.push(disk);
    }
    mkdirSync(join(folder, 'logs'));
    symlinkSync(join(folder, 'logs'), join(folder, 'data', 'logs'));
    return undo;
  },
};

/** Writes until nothing more goes in. */
function fill(disk: string): string {
  const filler = join(disk, 'filler');
  const file = openSync(filler, 'w');
  const block = Buffer.alloc(FILL_BYTES);
  try {
    while (writeSync(file, block) > 0);
  } catch {
    // full is what was wanted
  }
  closeSync(file);
  return filler;
}

/** Files of its log that Postgres has ready are written without asking the disk for room: they are used up first. */
async function useUpLog({ clock, stack, say }: Stage): Promise<void> {
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'chaos', max: 1 });
  let files = 0;
  try {
    for (; files < LOG_FILES; files++) {
      await sql.unsafe(NEXT_LOG);
      await clock.sleep(20);
    }
  } catch {
    // no room for the next one
  }
  await sql.end({ timeout: 1 }).catch(() => {});
  say(`${files} files of the log used up`);
}

const FULL_MS = 4000;
async function diskFull(stage: Stage, name: keyof typeof DISKS): Promise<Strike> {
  const { clock, stack, folder, say } = stage;
  const at = clock.wall();
  const filler = fill(diskOf(folder, name));
  if (name === 'postgres') await useUpLog(stage);
  await clock.sleep(FULL_MS);
  const survived = stack[name]?.running() === true;
  say(survived ? `${name} refuses writes` : `${name} ended`);
  rmSync(filler, { force: true });
  if (!survived) await stack[name]?.restart();
  return { at, healedAt: clock.wall(), figures: { ended: survived ? 0 : 1 } };
}

export const REDIS_DISK_FULL: Fault = {
  name: 'redis-disk-full',
  case: '8',
  what: "the disk of Redis' append-only file is full for 4 s; Redis refuses or ends, room is made, Redis starts again if it ended",
  ground: SMALL_DISKS,
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: 10_000 },
  strike: (stage) => diskFull(stage, 'redis'),
};

export const POSTGRES_DISK_FULL: Fault = {
  name: 'postgres-disk-full',
  case: '7',
  what: 'the disk of Postgres is full for 4 s; Postgres refuses or ends, room is made, Postgres starts again if it ended',
  ground: SMALL_DISKS,
  strikes: 10,
  restMs: 6000,
  bounds: { fullRateMs: 10_000 },
  strike: (stage) => diskFull(stage, 'postgres'),
};

export const MACHINE_FAULTS: readonly Fault[] = [CLOCK_STEP, REDIS_DISK_FULL, POSTGRES_DISK_FULL];
