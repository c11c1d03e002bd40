import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '../ops/lifecycle/index.ts';
import { finish, table } from '../ops/report/index.ts';
import { startStack } from '../ops/start/index.ts';
import { type Api, connectedDevices, createLinkDevices } from './api.ts';
import { findK6 } from './k6-binary.ts';
import { PROFILES, type Profile } from './profiles.ts';
import { figuresOf, type K6Summary } from './summary.ts';

/**
 * `npm run load -- <profile> [--url URL --key KEY] [--json FILE] [--report FILE]`: k6 against a stack of its own on free ports, or against
 * `--url` on this machine. Prints a table and, last, one JSON line; the HTML report goes to .data/load/<profile>.html.
 */
const root = process.cwd();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function usage(problem: string): never {
  process.stderr.write(
    `${problem}\nusage: npm run load -- <${Object.keys(PROFILES).join('|')}> [--url http://127.0.0.1:4000 --key KEY] [--json FILE] [--report FILE]\n`,
  );
  process.exit(2);
}

interface Options {
  readonly name: string;
  readonly profile: Profile;
  readonly target: Api | undefined;
  readonly jsonFile: string | undefined;
  readonly reportFile: string;
}

function parse(): Options {
  const { values, positionals } = (() => {
    try {
      return parseArgs({
        allowPositionals: true,
        options: { url: { type: 'string' }, key: { type: 'string' }, json: { type: 'string' }, report: { type: 'string' } },
      });
    } catch (error) {
      return usage(error instanceof Error ? error.message : String(error));
    }
  })();
  const name = positionals[0] ?? 'smoke';
  const profile = PROFILES[name];
  if (profile === undefined || positionals.length > 1) return usage(`unknown profile ${positionals.join(' ')}`);
  const key = values.key ?? process.env['ADMIN_API_KEY'];
  if (values.url !== undefined) {
    const host = URL.canParse(values.url) ? new URL(values.url).hostname : '';
    if (host !== 'localhost' && !/^127\./.test(host))
      return usage(`--url: expected an address on this machine such as http://127.0.0.1:4000, got ${values.url}`);
    if (key === undefined) return usage('--key: expected an API key with the scope admin (or ADMIN_API_KEY)');
  }
  return {
    name,
    profile,
    target: values.url === undefined ? undefined : { url: values.url.replace(/\/$/, ''), key: key ?? '' },
    jsonFile: values.json,
    reportFile: resolve(root, values.report ?? `.data/load/${name}.html`),
  };
}

async function runK6(k6: string, profile: Profile, api: Api, work: string, reportFile: string): Promise<K6Summary> {
  say(`creating ${profile.devices} link devices`);
  const devices = await createLinkDevices(api, profile.devices, `load-${process.pid}`);
  const planFile = join(work, 'plan.json');
  const summaryFile = join(work, 'summary.json');
  writeFileSync(planFile, JSON.stringify({ ...profile, http: api.url, ws: api.url.replace(/^http/, 'ws'), key: api.key, devices }), {
    mode: 0o600,
  });
  mkdirSync(join(reportFile, '..'), { recursive: true });
  const child = spawn(k6, ['run', '--quiet', '--no-usage-report', '--no-color', join(root, 'loadtest/scenarios', profile.scenario)], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      FLOTILLA_PLAN: planFile,
      FLOTILLA_SUMMARY: summaryFile,
      K6_AUTO_EXTENSION_RESOLUTION: 'false',
      K6_WEB_DASHBOARD: 'true',
      K6_WEB_DASHBOARD_PORT: '-1',
      K6_WEB_DASHBOARD_PERIOD: '2s',
      K6_WEB_DASHBOARD_EXPORT: reportFile,
    },
  });
  const stop = (): void => void child.kill('SIGINT');
  process.once('SIGINT', stop);
  const progress = setProgress(api, profile.rampSeconds + profile.seconds + 10);
  const code = await new Promise<number | null>((done, fail) => void child.once('error', fail).once('exit', done));
  progress();
  process.off('SIGINT', stop);
  // 99 = a threshold was missed; the summary says which
  if (code !== 0 && code !== 99) throw new Error(`k6 ended with ${code}`);
  return JSON.parse(readFileSync(summaryFile, 'utf8')) as K6Summary;
}

/** A line every 5 s while k6 is quiet. */
function setProgress(api: Api, seconds: number): () => void {
  const from = clock.monotonic();
  let cancel = (): void => {};
  const tick = (): void => {
    connectedDevices(api).then(
      (connected) => say(`${Math.round((clock.monotonic() - from) / 1000)} of about ${seconds} s · ${connected} devices connected`),
      (error: unknown) => say(`the gateway does not answer: ${error instanceof Error ? error.message : String(error)}`),
    );
    cancel = clock.after(5_000, tick);
  };
  cancel = clock.after(5_000, tick);
  return () => cancel();
}

async function main(): Promise<void> {
  const options = parse();
  const work = mkdtempSync(join(tmpdir(), 'flotilla-load-'));
  const k6 = findK6({ moduleDir: join(root, 'loadtest/k6'), cacheDir: resolve(root, process.env['DATA_DIR'] ?? '.data', 'k6'), say });
  const stack =
    options.target === undefined
      ? await startStack({
          dataDir: join(work, 'stack'),
          nodes: options.profile.nodes,
          gateways: 1,
          phones: false,
          durable: true,
          onEvent: (event) => {
            if (event.type === 'step' && event.state === 'done') say(`${event.name} · ${(event.tookMs / 1000).toFixed(1)} s`);
          },
        })
      : undefined;
  try {
    const gateway = stack?.gateways[0];
    const api = options.target ?? { url: gateway?.url ?? '', key: stack?.adminKey ?? '' };
    const summary = await runK6(k6, options.profile, api, work, options.reportFile);
    const { figures, targets, rows, ok } = figuresOf(summary, options.profile);
    say('');
    say(table(rows));
    say(`\nHTML report: ${options.reportFile}`);
    finish(
      { name: `load-${options.name}`, ok, figures, targets },
      { write: (text) => void process.stdout.write(text), jsonFile: options.jsonFile },
    );
  } finally {
    await stack?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
