import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { systemClock } from '../lifecycle/index.ts';

/** A figure of a run; null = it could not be measured. */
export type Figure = number | string | boolean | null;

/** What every long command (bench, load, chaos, demo) ends with. */
export interface RunResult {
  readonly name: string;
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, Figure>>;
  /** what each figure had to be, in words or as a bound */
  readonly targets: Readonly<Record<string, Figure>>;
  /** rows behind the figures, the first one the head, when there is more than one thing in the run */
  readonly rows?: readonly (readonly Figure[])[];
  /** what the names in the rows mean, and what else must be known */
  readonly notes?: Readonly<Record<string, string>>;
  /** the command that made it, as one would type it */
  readonly command?: string;
}

/** The machine a figure was taken on. */
export function machine(): Readonly<Record<string, Figure>> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 1e8) / 10,
    kernel: release(),
    node: process.version,
  };
}

/** The commit that this runs from, `-dirty` when files differ from it; undefined outside of a repository. */
export function commit(): string | undefined {
  const { status, stdout } = spawnSync('git', ['describe', '--always', '--exclude=*', '--dirty', '--abbrev=10'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Rows as aligned text; the first row is the head. */
export function table(rows: readonly (readonly Figure[])[]): string {
  const cells = rows.map((row) => row.map((value) => (value === null ? '—' : String(value))));
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const numeric = widths.map((_, column) => rows.slice(1).every((row) => typeof row[column] !== 'string'));
  return cells
    .map((row) =>
      row
        .map((cell, column) => (numeric[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * Prints the result as the very last line, one JSON object, writes the same to `jsonFile` when given, and sets the exit code:
 * 0 only when ok.
 */
export function finish(
  result: RunResult,
  options: { readonly write: (text: string) => void; readonly jsonFile?: string | undefined },
): void {
  // where the file was put is nobody's figure
  const command = result.command?.replace(/ --json[= ]\S+/, '');
  const line = JSON.stringify({
    ...result,
    ...(command === undefined ? {} : { command }),
    at: new Date(systemClock.wall()).toISOString(),
    commit: commit(),
    machine: machine(),
  });
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, `${line}\n`);
  options.write(`${line}\n`);
  process.exitCode = result.ok ? 0 : 1;
}
