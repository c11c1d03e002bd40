import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { breaches } from './tidy.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Browser and k6 code has its own clock; fixtures are stand-ins. */
const ELSEWHERE = /^gateway\/wall\/app\/|^loadtest\/(scenarios|lib)\/|(^|\/)(fixtures|node_modules|results)\//;

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (ELSEWHERE.test(`${path}/`)) continue;
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.(ts|mjs)$/.test(entry.name) && !entry.name.endsWith('.d.mts')) yield path;
  }
}

const check = (path: string, text: string): string[] => breaches(new Map([[path, text]]));

describe('the checkout', () => {
  const files = new Map(
    ['schema', 'actors', 'gateway', 'loadtest', 'ops'].flatMap((top) =>
      [...sources(top)].map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
    ),
  );

  it('keeps the house rules', () => {
    expect(files.size).toBeGreaterThan(50);
    expect(breaches(files)).toEqual([]);
  }, 120_000);
});

describe('each rule finds a planted fault', () => {
  it.each([
    ['actors/device/a.ts', "import { x } from '../../gateway/hub/index.ts';", 'actors may not import gateway'],
    ['schema/sql/a.ts', "import type { x } from '../../actors/lease/index.ts';", 'schema may not import actors'],
    ['ops/start/a.ts', "export * from '../../schema/domain/index.ts';", 'ops may not import schema'],
    ['gateway/hub/a.ts', "const x = await import('../../ops/start/index.ts');", 'gateway may not import ops/start'],
    ['loadtest/run.ts', "import { x } from '../gateway/hub/index.ts';", 'loadtest may not import gateway'],
    ['gateway/hub/a.ts', "import { x } from '../auth/keys.ts';", 'gateway/auth/keys.ts is behind the door gateway/auth/index.ts'],
    [
      'actors/main.ts',
      "import { x } from './transports/link/frames.ts';",
      'actors/transports/link/frames.ts is behind the door actors/transports/link/index.ts',
    ],
    ['actors/node/a.ts', "import { x } from '../../schema/sql/types.ts';", 'schema/sql/types.ts is behind the door schema/sql/index.ts'],
    ['actors/node/a.ts', "type X = import('../../schema/sql/rows.ts').X;", 'schema/sql/rows.ts is behind the door schema/sql/index.ts'],
    ['gateway/hub/a.ts', "import uws from 'uWebSockets.js';", 'uWebSockets.js may only be imported in gateway/server'],
    [
      'actors/device/a.ts',
      "import { x } from '@whiskeysockets/baileys/lib/x.js';",
      '@whiskeysockets/baileys may only be imported in actors/transports/whatsapp',
    ],
    ['actors/lease/a.ts', "import { Redis } from 'ioredis';", 'ioredis may only be imported in ops/connect'],
    ['actors/device/a.ts', 'setTimeout(() => {}, 1);', 'setTimeout: take the clock of ops/lifecycle'],
    ['actors/device/a.ts', 'const x = Math.random() + Date.now();', 'Math.random: take the clock and dice of ops/lifecycle'],
    ['actors/device/a.ts', "console.log('x');", 'console: take the log of ops/telemetry'],
    ['actors/device/a.ts', 'let x: any;', 'any: say what it is, or unknown'],
    ['actors/device/a.ts', `// ${'TO'}DO later`, `marker ${'TO'}DO: finish it or write an issue`],
    ['actors/device/a.ts', 'const x = 1;\n'.repeat(401).replaceAll('const x = 1;', ';'), '401 lines, at most 400'],
    ['actors/device/a.ts', 'const = ;', 'does not parse'],
  ])('%s: %#', (path, text, expected) => {
    expect(check(path, text).join('\n')).toContain(`${path}: ${expected}`);
  });
});

describe('what is allowed passes', () => {
  it.each([
    ['actors/node/a.ts', "import { loadConfig } from '../../ops/config/index.ts';"],
    ['actors/node/a.ts', "import type { Row } from '../../schema/sql/types.ts';"],
    ['actors/device/a.ts', "import type { Lease } from '../lease/port.ts';"],
    ['actors/testing/chaos/a.ts', "import { startStack } from '../../../ops/start/index.ts';"],
    ['gateway/hub/a.itest.ts', "import { startRedis } from '../../ops/testing/index.ts'; setTimeout(() => {}, 1);"],
    ['loadtest/bench/a.ts', "import { x } from '../../actors/mailbox/index.ts'; import Redis from 'ioredis';"],
    ['gateway/main.ts', "import { createHub } from './hub/index.ts';"],
    ['actors/device/a.ts', '// setTimeout and console.log are only words here\nconst text = "Math.random()";'],
    ['actors/lease/a.ts', "import type { Redis } from 'ioredis';"],
  ])('%s: %#', (path, text) => {
    expect(check(path, text)).toEqual([]);
  });
});
