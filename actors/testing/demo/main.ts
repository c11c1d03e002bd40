import { parseArgs } from 'node:util';
import { finish } from '../../../ops/report/index.ts';
import { runStorm } from './storm.ts';
import { runWhatsappLocal } from './whatsapp-local.ts';
import { runWhatsappPairing } from './whatsapp-pairing.ts';

/** `npm run demo -- <name> [--kills N] [--plant doubled] [--devices N --leads N] [--json FILE]`: one story told end to end on a stack of its own; the last line is one JSON object. */
const DEMOS = {
  storm: (write: (text: string) => void) => runStorm(write, sizes()),
  'whatsapp-local': (write: (text: string) => void) => runWhatsappLocal(write),
  /** `kills`: how often a node is killed in the middle of a send */
  'whatsapp-pairing': (write: (text: string) => void, kills: number) =>
    runWhatsappPairing(write, { kills, judgeTimes: true, plant: plant() }),
} as const;

const write = (text: string): void => void process.stdout.write(text);

function usage(problem: string): never {
  process.stderr.write(
    `${problem}\nusage: npm run demo -- <${Object.keys(DEMOS).join('|')}> [--kills N] [--plant doubled] [--devices N --leads N] [--json FILE]\n`,
  );
  process.exit(2);
}

const { values, positionals } = (() => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'string' },
        kills: { type: 'string', default: '5' },
        plant: { type: 'string' },
        devices: { type: 'string' },
        leads: { type: 'string' },
      },
    });
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
})();
/** of the storm */
function sizes(): { readonly devices: number; readonly leads: number } {
  const of = (name: 'devices' | 'leads', fallback: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    return Number.isInteger(value) && value > 0 ? value : usage(`--${name}: expected a whole number above 0`);
  };
  const devices = of('devices', 3000);
  return { devices, leads: of('leads', devices * 1000) };
}
function plant(): 'doubled' | undefined {
  if (values.plant === undefined || values.plant === 'doubled') return values.plant;
  return usage('--plant: only "doubled" can be planted');
}
const [name = ''] = positionals;
if (!Object.hasOwn(DEMOS, name) || positionals.length > 1) usage(`unknown demo "${positionals.join(' ')}"`);
const kills = Number(values.kills);
if (!Number.isInteger(kills) || kills < 0) usage('--kills: expected a whole number');
if (plant() !== undefined && kills === 0) usage('--plant: needs a kill');
finish(await DEMOS[name as keyof typeof DEMOS](write, kills), { write, jsonFile: values.json });
