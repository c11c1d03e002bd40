import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first of these programs on PATH; undefined when there is none. */
export function findOnPath(env: Readonly<Record<string, string | undefined>>, names: readonly string[]): string | undefined {
  for (const name of names) {
    for (const folder of (env['PATH'] ?? '').split(delimiter)) {
      if (folder !== '' && isExecutable(join(folder, name))) return join(folder, name);
    }
  }
  return undefined;
}

/** Path of an installed server: REDIS_SERVER, else redis-server or valkey-server on PATH; undefined when there is none. */
export function installedRedis(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const named = env['REDIS_SERVER'];
  return named !== undefined && named !== '' ? named : findOnPath(env, ['redis-server', 'valkey-server']);
}
