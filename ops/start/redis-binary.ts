import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** How to run a Redis server: the binary and what its environment needs on top. */
export interface RedisBinary {
  readonly path: string;
  /** folder of the libraries of an unpacked package, '' for an installed server */
  readonly libraryPath: string;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** An installed server: REDIS_SERVER (with REDIS_SERVER_LIBS), else redis-server or valkey-server on PATH; undefined when there is none. */
export function installedRedis(env: Readonly<Record<string, string | undefined>>): RedisBinary | undefined {
  const named = env['REDIS_SERVER'];
  if (named !== undefined && named !== '') return { path: named, libraryPath: env['REDIS_SERVER_LIBS'] ?? '' };
  for (const name of ['redis-server', 'valkey-server']) {
    for (const folder of (env['PATH'] ?? '').split(delimiter)) {
      if (folder !== '' && isExecutable(join(folder, name))) return { path: join(folder, name), libraryPath: '' };
    }
  }
  return undefined;
}
