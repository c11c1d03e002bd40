import { parseArgs } from 'node:util';
import { finish } from '../../../ops/report/index.ts';
import { runWhatsappLocal } from './whatsapp-local.ts';
import { runWhatsappPairing } from './whatsapp-pairing.ts';

/** `npm run demo -- <name> [--json FILE]`: one story told end to end on a stack of its own; the last line is one JSON object. */
const DEMOS = {
  'whatsapp-local': runWhatsappLocal,
  'whatsapp-pairing': (write: (text: string) => void) => runWhatsappPairing(write),
} as const;

const write = (text: string): void => void process.stdout.write(text);

function usage(problem: string): never {
  process.stderr.write(`${problem}\nusage: npm run demo -- <${Object.keys(DEMOS).join('|')}> [--json FILE]\n`);
  process.exit(2);
}

const { values, positionals } = (() => {
  try {
    return parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } });
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
})();
const [name = ''] = positionals;
if (!Object.hasOwn(DEMOS, name) || positionals.length > 1) usage(`unknown demo "${positionals.join(' ')}"`);
finish(await DEMOS[name as keyof typeof DEMOS](write), { write, jsonFile: values.json });
