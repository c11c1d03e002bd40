import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { type Figure, finish, table } from '../../ops/report/index.ts';
import { startStack } from '../../ops/start/index.ts';
import { graphql } from './graphql.ts';
import { http } from './http.ts';
import { link } from './link.ts';
import type { FuzzPart } from './part.ts';
import { growth, sizeOf } from './size.ts';
import { slow } from './slow.ts';

/**
 * `npm run fuzz -- [part ...] [--inputs N] [--seed S] [--json FILE]`: bad input over the wire against a stack of its own. Every input must get the right
 * answer, and the gateway must live on, answer, and hold no more memory, sockets and files than before. Prints a table and, last, one JSON line; a fault names the input.
 */
const PARTS: readonly FuzzPart[] = [http, link, graphql, slow];
/** the limits of rates have tests of their own: here they would keep inputs from what lies behind them */
const FREE = {
  RATE_PER_KEY: '0',
  RATE_PER_TENANT: '0',
  RATE_PER_ADDRESS: '0',
  SOCKETS_PER_ADDRESS: '0',
  SOCKETS_PER_KEY: '0',
  SOCKETS_PER_TENANT: '0',
};
const SETTLING = 20_000;

const write = (text: string): void => void process.stdout.write(text);
const say = (line: string): void => write(`${line}\n`);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { inputs: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' }, json: { type: 'string' } },
});
const parts = positionals.length === 0 ? PARTS : PARTS.filter(({ name }) => positionals.includes(name));
const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
if (!Number.isSafeInteger(inputs) || inputs < 1 || !Number.isSafeInteger(seed) || parts.length < Math.max(1, positionals.length)) {
  process.stderr.write(`usage: npm run fuzz -- [${PARTS.map(({ name }) => name).join(' ')}] [--inputs N] [--seed S] [--json FILE]\n`);
  process.exit(2);
}

const dataDir = mkdtempSync(join(tmpdir(), 'flotilla-fuzz-'));
const stack = await startStack({ dataDir, nodes: 1, gateways: 1, phones: false, durable: false, env: FREE });
try {
  const gateway = stack.gateways[0];
  if (gateway === undefined) throw new Error('no gateway');
  const world = { api: { url: gateway.url, key: stack.adminKey }, dice: seededDice(seed), say };
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  const figures: Record<string, Figure> = { seed };
  const faults: string[] = [];
  const { pid } = gateway;
  const began = systemClock.monotonic();
  const empty = await sizeOf(gateway.url, pid);
  for (const { name, weight, most = inputs, settling, run } of parts) {
    const share = Math.min(most, Math.ceil((inputs * weight) / total));
    const started = systemClock.monotonic();
    const first = await run(world, Math.min(share, settling ?? Math.max(SETTLING, Math.ceil(share / 10))));
    const before = await sizeOf(gateway.url, pid, empty);
    // whoever has no share left has been asked all
    const rest = first.inputs < share ? await run(world, share - first.inputs) : { inputs: 0, answers: {}, faults: [] };
    const after = await sizeOf(gateway.url, pid, before);
    figures[`${name}_inputs`] = first.inputs + rest.inputs;
    for (const { answers } of [first, rest])
      for (const [answer, count] of Object.entries(answers)) {
        const known = Number(figures[`${name}_${answer}`] ?? 0);
        figures[`${name}_${answer}`] = / ms$/.test(answer) ? Math.max(known, count) : known + count;
      }
    figures[`${name}_per_second`] = Math.round((first.inputs + rest.inputs) / ((systemClock.monotonic() - started) / 1000));
    figures[`${name}_growth_mb`] = Math.round(after.residentMb - before.residentMb);
    figures[`${name}_heap_growth_mb`] = Math.round(after.heapMb - before.heapMb);
    figures[`${name}_handles_more`] = after.handles - before.handles;
    faults.push(...first.faults, ...rest.faults, ...growth(before, after).map((fault) => `${name}: ${fault}`));
  }
  figures['seconds'] = Math.round((systemClock.monotonic() - began) / 1000);
  const live = await fetch(`${gateway.url}/ready`).then(
    ({ status }) => status,
    () => 0,
  );
  if (live !== 200 || !gateway.running() || gateway.pid !== pid) faults.push('the gateway did not live on');
  figures['faults'] = faults.length;
  say(table([['figure', 'value'], ...Object.entries(figures)]));
  for (const fault of faults.slice(0, 20)) say(fault);
  finish({ name: 'fuzz', ok: faults.length === 0, figures, targets: { faults: 0 } }, { write, jsonFile: values.json });
} finally {
  await stack.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
process.exit();
