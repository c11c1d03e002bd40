import type { StackEvent } from './stack.ts';

export interface Output {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

export interface Addresses {
  readonly gateway: string;
  /** may only show the fleet; stands in the wall's address behind the #, which browsers do not send */
  readonly screenKey: string;
  readonly nodes: readonly { readonly id: string; readonly metricsUrl: string }[];
  readonly adminKey: string;
  /** where the key is kept; undefined when the environment gave it */
  readonly keyFile: string | undefined;
  readonly devices: number;
  readonly demo: boolean;
  readonly logDir: string;
  readonly tookMs: number;
}

/** Draws a frame around lines. The frame grows with the longest line: an address is never cut. */
export function frame(lines: readonly string[]): string {
  const width = Math.max(...lines.map((line) => line.length));
  const bar = '─'.repeat(width + 2);
  return [`┌${bar}┐`, ...lines.map((line) => `│ ${line.padEnd(width)} │`), `└${bar}┘`].join('\n');
}

export function addressBox(where: Addresses): string {
  const simulated = where.demo
    ? `${where.devices} SIMULATED devices, with a trickle of simulated demo traffic`
    : 'no demo data (--no-demo)';
  return frame([
    `Flotilla is up (${(where.tookMs / 1000).toFixed(1)} s): ${simulated}`,
    '',
    `Wall       ${where.gateway}/#key=${where.screenKey}`,
    `GraphiQL   ${where.gateway}/graphql`,
    `Metrics    ${where.gateway}/metrics   (gateway)`,
    ...where.nodes.map((node) => `           ${node.metricsUrl}/metrics   (${node.id})`),
    `Admin key  ${where.adminKey}`,
    `           ${where.keyFile === undefined ? 'from ADMIN_API_KEY' : `kept in ${where.keyFile}`}`,
    `Logs       ${where.logDir}`,
    '',
    'Ctrl-C stops everything',
  ]);
}

function fieldText(fields: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== null && typeof value !== 'object')
    .slice(0, 6)
    .map(([name, value]) => `${name}=${String(value).split('\n')[0]?.slice(0, 160)}`);
  return parts.length === 0 ? '' : `  ${parts.join(' ')}`;
}

/** How an event of the stack reads to a person; undefined = not shown. */
export function eventText(event: StackEvent): string | undefined {
  switch (event.type) {
    case 'step':
      return undefined;
    case 'note':
      return event.text;
    case 'log':
      if (event.event === 'stderr') return `${event.name}: ${String(event.fields['text'])}`;
      return `${event.name}: ${event.level === 'warn' ? 'warning' : 'error'}: ${event.event}${fieldText(event.fields)}`;
    case 'exited': {
      const how = event.exit.signal === null ? `ended with code ${event.exit.code}` : `was ended by ${event.exit.signal}`;
      return `${event.name} ${how}${event.restartInMs === undefined ? '' : `; starting it again in ${event.restartInMs / 1000} s`}`;
    }
    case 'restarted':
      return `${event.name} runs again (pid ${event.pid}, ${(event.tookMs / 1000).toFixed(1)} s)`;
    case 'restart-failed':
      return `${event.name} did not start again: ${event.message}; next try in ${event.restartInMs / 1000} s`;
  }
}

const WINDOW_MS = 10_000;
const LINES_PER_WINDOW = 3;
/** of a stack trace a person needs the first lines */
const STDERR_PER_WINDOW = 6;

/**
 * The supervisor's voice. Owns the counters that keep a flood of one kind of line (same process, same event) from hiding the rest:
 * three in ten seconds, then a count. The log files always have everything.
 */
export function createTerminal(
  output: Output,
  options: { readonly quiet: boolean; readonly now: () => number; readonly clockText: () => string },
) {
  const floods = new Map<string, { since: number; count: number }>();
  let open = false;
  const line = (text: string): void => {
    output.write(`${open ? '\n' : ''}${text}\n`);
    open = false;
  };
  const allowed = (key: string, most: number): string | undefined => {
    const now = options.now();
    const flood = floods.get(key);
    if (flood === undefined || now - flood.since > WINDOW_MS) {
      floods.set(key, { since: now, count: 1 });
      const missed = (flood?.count ?? 0) - most;
      return missed > 0 ? `  (${missed} more like this before; see the logs)` : '';
    }
    flood.count += 1;
    return flood.count <= most ? '' : undefined;
  };
  return {
    line,
    event(event: StackEvent): void {
      if (event.type === 'step') {
        if (options.quiet) return;
        const took = `${(event.tookMs / 1000).toFixed(1)} s`;
        if (event.state === 'done') output.write(open ? `\r  ✓ ${event.name} (${took})\u001b[K\n` : `  ✓ ${event.name} (${took})\n`);
        else if (output.isTTY === true) output.write(`${open ? '\n' : ''}  … ${event.name}`);
        open = event.state === 'begun' && output.isTTY === true;
        return;
      }
      if (event.type === 'note' && options.quiet) return;
      const text = eventText(event);
      if (text === undefined) return;
      const suffix =
        event.type === 'log'
          ? allowed(`${event.name} ${event.event}`, event.event === 'stderr' ? STDERR_PER_WINDOW : LINES_PER_WINDOW)
          : '';
      if (suffix !== undefined) line(`  ${options.clockText()} ${text}${suffix}`);
    },
  };
}
