import { execFile } from 'node:child_process';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * A wall clock of its own for Redis. libfaketime cannot give it one: Redis' allocator asks for the time before that library is set up, and it
 * ends there (seen with 0.9.10 and Debian's Redis 7.0). This preload asks the kernel itself, so it needs no set-up; it is compiled when it is
 * needed. The offset stands in a file that every call reads through shared memory, so it steps at once.
 */
const run = promisify(execFile);

const SOURCE = `#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *volatile text;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("CLOCK_OFFSET_FILE");
  int file = path == NULL ? -1 : open(path, O_RDONLY);
  if (file < 0) return;
  void *place = mmap(NULL, 32, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (place != MAP_FAILED) text = place;
}
static long offset(void) { return text == NULL ? 0 : strtol((const char *)text, NULL, 10); }

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  int answer = (int)syscall(SYS_gettimeofday, at, zone);
  if (answer == 0 && at != NULL) at->tv_sec += offset();
  return answer;
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  int answer = (int)syscall(SYS_clock_gettime, clock, at);
  if (answer == 0 && clock == CLOCK_REALTIME) at->tv_sec += offset();
  return answer;
}
time_t time(time_t *at) {
  struct timeval now;
  gettimeofday(&now, NULL);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}
`;

/** Long enough for any offset; the file never changes its size, so that no reader falls off its end. */
const WIDTH = 32;
const padded = (seconds: number): string => String(seconds).padEnd(WIDTH, ' ');

export interface RedisClock {
  /** settings of a Redis that lives by this clock */
  readonly env: Readonly<Record<string, string>>;
  /** seconds ahead of everyone else's */
  step(seconds: number): void;
}

/** Why there can be none here. */
export async function redisClockMissing(): Promise<string | undefined> {
  return run('cc', ['--version']).then(
    () => undefined,
    () => 'a clock for Redis needs a C compiler (Debian: apt-get install gcc libc6-dev)',
  );
}

/** @param name of its files in the folder */
export async function createRedisClock(folder: string, name: string): Promise<RedisClock> {
  const source = join(folder, `${name}.c`);
  const library = join(folder, `${name}.so`);
  const offset = join(folder, `${name}.offset`);
  writeFileSync(source, SOURCE);
  writeFileSync(offset, padded(0));
  await run('cc', ['-shared', '-fPIC', '-O1', '-o', library, source]);
  return {
    env: { LD_PRELOAD: library, CLOCK_OFFSET_FILE: offset },
    step(seconds) {
      const file = openSync(offset, 'r+');
      writeSync(file, padded(seconds), 0);
      closeSync(file);
    },
  };
}
