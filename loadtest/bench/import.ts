import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { type Stack, startStack } from '../../ops/start/index.ts';
import type { Bench } from './main.ts';

/**
 * `npm run bench -- import [--leads N]`: a CSV file of N leads (1,000,000) over HTTP into a gateway, with Postgres on disk with fsync; then the first tenth of it once
 * more, when every lead is there already. Numbers are written in three ways, one in a hundred comes twice, one in a thousand is none. Beside it
 * somebody else asks the gateway for its fleet twenty times a second. Not measured: a network, a file of many columns, several imports at once.
 */
const SECONDS = 60;
/** flat: what three quarters of the file may add to the peak of the first quarter. A heap that is collected now and then is not still to the MB. */
const LATER_MB = 32;
const CHUNK_ROWS = 1000;
const NAMES = ['Ann Lee', 'Björn Åsa', '"Lee, Cy"', 'Dana', 'Eve-Marie Özil', '"O""Neil, Fay"'];
const CITIES = ['Ulm', 'Köln', '"Halle, Saale"', 'Bonn', ''];

function rowOf(n: number): string {
  if (n % 1000 === 999) return `12,nobody,${CITIES[n % 5]},,\n`;
  // one in a hundred is the number of the row before
  const serial = String(10_000_000 + (n % 100 === 50 ? n - 1 : n));
  const phone = n % 3 === 0 ? `+49151${serial}` : n % 3 === 1 ? `0151 ${serial}` : `0049 (151) ${serial.slice(0, 4)}-${serial.slice(4)}`;
  return `${phone},${NAMES[n % 6]},${CITIES[n % 5]},vip;n${n % 7},${n % 100}\n`;
}
async function* csv(rows: number, quarter: () => void): AsyncGenerator<Uint8Array> {
  yield Buffer.from('Mobile,Name,City,Tags,Seats\n');
  for (let from = 0; from < rows; from += CHUNK_ROWS) {
    if (from >= rows / 4) quarter();
    yield Buffer.from(Array.from({ length: Math.min(CHUNK_ROWS, rows - from) }, (_, k) => rowOf(from + k)).join(''));
  }
}

interface Imported {
  readonly seconds: number;
  readonly answer: {
    readonly state: string;
    readonly rows: number;
    readonly made: number;
    readonly changed: number;
    readonly faulty: number;
  };
}
async function send(stack: Stack, rows: number, quarter = (): void => {}): Promise<Imported> {
  const from = clock.monotonic();
  const response = await fetch(`${stack.gateways[0]?.url}/api/leads/import?region=DE&consentSource=bench`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.adminKey}`, 'content-type': 'text/csv' },
    body: csv(rows, quarter) as unknown as ReadableStream,
    duplex: 'half',
  } as RequestInit);
  const answer = (await response.json()) as Imported['answer'];
  return { seconds: Math.round((clock.monotonic() - from) / 100) / 10, answer };
}

/** Memory of the gateway and answers to others, while the import goes on. */
function watch(stack: Stack): {
  early(): void;
  /** no more looks: the gateway may end from here on */
  end(): void;
  /** @throws what a look failed with */
  seen(): Promise<{ readonly peakMb: number; readonly earlyMb: number; readonly p50: number; readonly p99: number }>;
} {
  const pid = stack.gateways[0]?.pid ?? 0;
  const over = new AbortController();
  let peakMb = 0;
  let earlyMb: number | undefined;
  const times: number[] = [];
  const run = async (): Promise<void> => {
    while (!over.signal.aborted) {
      peakMb = Math.max(peakMb, rssMb(pid));
      const from = clock.monotonic();
      const response = await fetch(`${stack.gateways[0]?.url}/graphql`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.adminKey}`, 'content-type': 'application/json' },
        body: '{"query":"{ viewer { tenant { name } } }"}',
      });
      await response.text();
      times.push(clock.monotonic() - from);
      await clock.sleep(50);
    }
  };
  const running = run().then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  return {
    early: () => {
      earlyMb ??= peakMb;
    },
    end: () => over.abort(),
    async seen() {
      over.abort();
      const failed = await running;
      if (failed !== undefined) throw failed.error;
      times.sort((a, b) => a - b);
      const at = (q: number): number => Math.round((times[Math.min(times.length - 1, Math.ceil(q * times.length) - 1)] ?? 0) * 10) / 10;
      return { peakMb, earlyMb: earlyMb ?? peakMb, p50: at(0.5), p99: at(0.99) };
    },
  };
}
const rssMb = (pid: number): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);

export const importBench: Bench = async (say, parts) => {
  const at = parts.indexOf('leads');
  const leads = at < 0 ? 1_000_000 : Number(parts[at + 1]);
  if (!Number.isInteger(leads) || leads < 1000) throw new Error('leads: expected a whole number of 1000 or more');
  const work = mkdtempSync(join(tmpdir(), 'flotilla-import-'));
  const stack = await startStack({ dataDir: work, nodes: 0, gateways: 1, phones: false, durable: true });
  try {
    // what a gateway needs once is no growth
    const warm = await send(stack, Math.min(leads, 5000));
    if (warm.answer.state !== 'DONE') throw new Error(`the first import ended ${warm.answer.state}`);
    const pid = stack.gateways[0]?.pid ?? 0;
    const before = rssMb(pid);
    const watching = watch(stack);
    // an import that fails says why itself, and is not shouted down by who watches the gateway end
    const first = await send(stack, leads, watching.early).finally(watching.end);
    const { peakMb, earlyMb, p50, p99 } = await watching.seen();
    say(`${leads} leads · ${first.seconds} s · gateway ${before} MB before, ${peakMb} MB at most`);
    const again = await send(stack, Math.floor(leads / 10));
    say(`${Math.floor(leads / 10)} of them again · ${again.seconds} s`);
    const faulty = Math.floor(leads / 1000);
    const whole = first.answer.state === 'DONE' && first.answer.rows === leads && first.answer.faulty === faulty;
    const figures = {
      leads,
      'all in s': first.seconds,
      'rows/s': Math.round(leads / first.seconds),
      'rows/s again': Math.round(leads / 10 / again.seconds),
      'faulty rows': first.answer.faulty,
      'gateway RSS before MB': before,
      'gateway RSS growth MB': peakMb - before,
      'growth after the first quarter MB': peakMb - earlyMb,
      'others p50 ms': p50,
      'others p99 ms': p99,
      'all counted': whole,
    };
    const seconds = (SECONDS * leads) / 1_000_000;
    // a short file is over before the heap has found its size
    const long = leads >= 1_000_000;
    const ok = whole && first.seconds <= seconds && (!long || peakMb - earlyMb <= LATER_MB);
    const targets = {
      'all in s': `<= ${seconds}`,
      ...(long ? { 'growth after the first quarter MB': `<= ${LATER_MB}` } : {}),
      'faulty rows': String(faulty),
      'all counted': 'true',
    };
    return { name: 'bench-import', ok, figures, targets, command: 'npm run bench -- import' };
  } finally {
    await stack.stop();
    rmSync(work, { recursive: true, force: true });
  }
};
