// Runs one built entry file in this very process, so that signals and exit codes are its own: `node ops/start/run.mjs <path in dist> [args]`.
// Prepares the checkout first; says so only when there is something to do.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './build.mjs';
import { orExplain, prepare, Unready } from './prepare.mjs';

const [entry, ...args] = process.argv.slice(2);
await orExplain(async () => {
  if (entry === undefined) throw new Unready('usage: node ops/start/run.mjs <file in dist> [arguments]');
  await prepare({ say: (line) => process.stderr.write(`${line}\n`) });
  const file = join(ROOT, 'dist', entry);
  if (!existsSync(file)) throw new Unready(`this command is not part of the build: ${entry} has no source`);
  process.argv = [process.argv[0], file, ...args];
  await import(pathToFileURL(file).href);
});
