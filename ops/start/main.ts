import { ConfigError } from '../config/index.ts';
import { ArgumentError, HELP, parseArguments } from './arguments.ts';
import { createSupervisor, StartProblem, type Supervisor } from './supervisor.ts';

/**
 * The command behind `npm start`. Signals: the first SIGINT, SIGTERM or SIGHUP stops everything, later ones are ignored (under npm Ctrl-C
 * arrives twice). Exit codes: 0 stopped as asked, 1 did not start, 2 the command line was wrong.
 */
export async function main(args: readonly string[]): Promise<void> {
  let supervisor: Supervisor;
  try {
    const parsed = parseArguments(args);
    if (parsed.help) {
      process.stdout.write(`${HELP}\n`);
      return;
    }
    supervisor = createSupervisor(parsed, process.env, process.stdout);
  } catch (error) {
    if (!(error instanceof ArgumentError) && !(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(error instanceof ArgumentError ? 2 : 1);
  }
  let ending = false;
  const end = async (code: number): Promise<void> => {
    if (ending) return;
    ending = true;
    await supervisor.stop();
    process.exit(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(0));
  // A closed terminal or pipe must not end the supervisor in the middle of its work.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const fatal = (error: unknown): void => {
    const plain = error instanceof StartProblem || !(error instanceof Error) ? String((error as Error).message ?? error) : undefined;
    if (!ending) process.stderr.write(`\n${plain ?? `Flotilla stops: ${(error as Error).stack ?? (error as Error).message}`}\n`);
    void end(1);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  try {
    await supervisor.start();
  } catch (error) {
    if (!ending) process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
    await end(1);
  }
}
