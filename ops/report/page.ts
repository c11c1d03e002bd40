import type { Figure } from './index.ts';

/** A results page from what long commands wrote with `--json`. Pure. */
export interface Written {
  readonly name: string;
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, Figure>>;
  readonly targets: Readonly<Record<string, Figure>>;
  readonly machine: Readonly<Record<string, Figure>>;
  readonly at?: string;
  readonly commit?: string;
  readonly command?: string;
  readonly rows?: readonly (readonly Figure[])[];
  readonly notes?: Readonly<Record<string, string>>;
}

/**
 * Whether a figure keeps its target: a number is the most it may be, as is `<= 50`; `> 0` and `>= 500 (why)` are the least, true and false must be equal.
 * @returns undefined when there is no target, or it is words
 */
export function held(value: Figure | undefined, target: Figure | undefined): boolean | undefined {
  if (target === undefined || target === null) return undefined;
  if (typeof target === 'boolean') return value === target;
  if (typeof target === 'number') return typeof value === 'number' && value <= target;
  const [, sign, number] = /^(>=?|<=) ?(\d[\d.]*)/.exec(target) ?? [];
  if (sign === undefined) return undefined;
  const bound = Number(number);
  if (typeof value !== 'number') return false;
  return sign === '<=' ? value <= bound : sign === '>' ? value > bound : value >= bound;
}

const cell = (value: Figure | undefined): string =>
  value === null || value === undefined ? '—' : String(value).replaceAll('|', '\\|').replaceAll('\n', ' ');
const line = (cells: readonly (Figure | undefined)[]): string => `| ${cells.map(cell).join(' | ')} |`;
const tableOf = (rows: readonly (readonly (Figure | undefined)[])[]): string =>
  rows.length === 0 ? '' : [line(rows[0] ?? []), line((rows[0] ?? []).map(() => '---')), ...rows.slice(1).map(line)].join('\n');
const dateOf = (at: string | undefined): string => (at === undefined ? 'date not kept' : `${at.slice(0, 16).replace('T', ' ')} UTC`);
const machineOf = (machine: Written['machine']): string =>
  `${machine['cpu']}, ${machine['cores']} cores, ${machine['memoryGb']} GB, kernel ${machine['kernel']}, Node ${machine['node']}`;

/** What a reader must know about how real a figure is, by the command it is from. */
function kindOf(name: string): string {
  if (name.startsWith('sim')) return 'SIMULATED: time, network, stores and phones; the code under test is real';
  if (name === 'sessions' || name.startsWith('whatsapp'))
    return 'SIMULATED: WhatsApp is a local server of our own and phones are programs; Baileys, Redis and Postgres are real, all on one machine';
  if (name.startsWith('chaos')) return 'real processes, Redis and Postgres on one machine; phones are simulated';
  return 'real Redis and Postgres on one machine; what is a stand-in is named in the figures';
}

function missedOf({ figures, targets }: Written): string[] {
  return Object.entries(targets)
    .filter(([name, target]) => held(figures[name], target) === false)
    .map(([name]) => name);
}

function section(written: Written): string {
  const { name, figures, targets, rows, notes } = written;
  const judged = Object.entries(targets).map(([figure, target]) => {
    const kept = held(figures[figure], target);
    return [figure, figures[figure], target, kept === undefined ? '' : kept ? 'held' : 'MISSED'];
  });
  const others = Object.entries(figures).filter(([figure]) => targets[figure] === undefined);
  const parts = [
    `## ${name}`,
    `${written.command === undefined ? '' : `\`${written.command}\`. `}${dateOf(written.at)}${written.commit === undefined ? '' : `, commit ${written.commit}`}. ${kindOf(name)}.\n${machineOf(written.machine)}.`,
  ];
  if (judged.length > 0) parts.push(tableOf([['figure', 'measured', 'target', ''], ...judged]));
  if (rows !== undefined && rows.length > 1) parts.push(tableOf(rows));
  if (others.length > 0) parts.push(others.map(([figure, value]) => `${figure} ${cell(value)}`).join(' · '));
  const said = Object.entries(notes ?? {});
  if (said.length > 0) parts.push(said.map(([what, text]) => `- \`${what}\`: ${text}`).join('\n'));
  return parts.join('\n\n');
}

/** The whole page: what was held and what was missed first, then each run in full. */
export function page(title: string, intro: string, runs: readonly Written[]): string {
  const overview = runs.map((written) => {
    const missed = missedOf(written);
    const said = missed.length > 0 ? `MISSED: ${missed.join(', ')}` : written.ok ? 'held' : 'MISSED: see the rows';
    return [written.name, said, dateOf(written.at)];
  });
  const parts = [`# ${title}`, intro, tableOf([['run', 'targets', 'date'], ...overview]), ...runs.map(section)];
  return `${parts.join('\n\n')}\n`;
}
