import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

export interface K6Options {
  /** the folder of go.mod and go.sum */
  readonly moduleDir: string;
  /** where built binaries are kept */
  readonly cacheDir: string;
  readonly say: (line: string) => void;
}

/**
 * Finds k6 2.x: on PATH, else built once from the pinned go.mod into the cache.
 * @throws Error saying how to get k6 when neither it nor Go is there, or when the build fails
 */
export function findK6(options: K6Options): string {
  const onPath = spawnSync('k6', ['version'], { encoding: 'utf8' });
  if (onPath.status === 0 && /\bv2\./.test(onPath.stdout)) return 'k6';
  const pins = ['go.mod', 'go.sum'].map((name) => readFileSync(join(options.moduleDir, name)));
  const stamp = createHash('sha256').update(Buffer.concat(pins)).digest('hex').slice(0, 16);
  const binary = join(options.cacheDir, `k6-${stamp}`);
  if (existsSync(binary)) return binary;
  if (spawnSync('go', ['version']).status !== 0) {
    throw new Error(
      'k6 2.x is not on PATH, and there is no Go to build it with: install k6 2.x (grafana.com, "Install k6") or Go 1.25 or newer, then run this again',
    );
  }
  options.say('building k6 from loadtest/k6/go.mod (once, about two minutes)…');
  mkdirSync(options.cacheDir, { recursive: true });
  const draft = `${binary}.${process.pid}`;
  const build = spawnSync('go', ['build', '-trimpath', '-o', draft, 'go.k6.io/k6/v2'], {
    cwd: options.moduleDir,
    encoding: 'utf8',
    env: { ...process.env, GOFLAGS: '-mod=readonly' },
  });
  if (build.status !== 0) throw new Error(`k6 could not be built:\n${build.stderr.trim().split('\n').slice(-15).join('\n')}`);
  renameSync(draft, binary);
  return binary;
}
