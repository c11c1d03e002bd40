// `npm start`: from a bare clone to a running stack. No packages may be imported here: they may not be installed yet.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './build.mjs';
import { orExplain, prepare } from './prepare.mjs';

await orExplain(async () => {
  await prepare({ say: (line) => process.stdout.write(`  ${line}\n`) });
  const { main } = await import(pathToFileURL(join(ROOT, 'dist', 'ops', 'start', 'main.js')).href);
  await main(process.argv.slice(2));
});
