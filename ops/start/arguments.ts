export interface StartArguments {
  readonly devices: number;
  readonly nodes: number;
  /** undefined: PORT of the environment, else 4000 */
  readonly port: number | undefined;
  readonly demo: boolean;
  readonly quiet: boolean;
  readonly help: boolean;
}

/** A command line that was not understood; the message names the option and what was expected. */
export class ArgumentError extends Error {}

export const HELP = `npm start -- [options]
  --devices N   simulated devices, 0 to 100000 (default 300)
  --nodes N     actor nodes, 1 to 64 (default 2)
  --port N      port of the gateway (default PORT, else 4000)
  --no-demo     no simulated devices are made and no demo traffic is sent
  --quiet       only problems and the addresses
  --help        this text`;

const LIMITS = { '--devices': [0, 100_000], '--nodes': [1, 64], '--port': [0, 65_535] } as const;

/** @throws ArgumentError */
export function parseArguments(args: readonly string[]): StartArguments {
  const numbers = new Map<string, number>();
  const flags = new Set<string>();
  for (let at = 0; at < args.length; at += 1) {
    const given = args[at] ?? '';
    const [name = '', attached] = given.split('=', 2);
    if (name in LIMITS) {
      const [least, most] = LIMITS[name as keyof typeof LIMITS];
      if (attached === undefined) at += 1;
      const text = attached ?? args[at] ?? '';
      const value = Number(text);
      if (!/^\d+$/.test(text) || value < least || value > most) {
        throw new ArgumentError(`${name}: expected a whole number from ${least} to ${most}, got ${text === '' ? 'nothing' : `"${text}"`}`);
      }
      numbers.set(name, value);
    } else if (['--no-demo', '--quiet', '--help'].includes(name) && attached === undefined) flags.add(name);
    else throw new ArgumentError(`unknown option ${given}\n${HELP}`);
  }
  return {
    devices: numbers.get('--devices') ?? 300,
    nodes: numbers.get('--nodes') ?? 2,
    port: numbers.get('--port'),
    demo: !flags.has('--no-demo'),
    quiet: flags.has('--quiet'),
    help: flags.has('--help'),
  };
}
