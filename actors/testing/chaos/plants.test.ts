import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RIGGED } from './faults/orders.ts';
import { applySwaps, GATEWAY_DEATH, PLANTS, type Swap } from './plants.ts';

const top = fileURLToPath(new URL('../../../', import.meta.url));

describe('test builds', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'plants-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };

  it('changes every marked place, and refuses when a place is gone', () => {
    const swap: Swap = { name: 'x', in: (path) => path.endsWith('.sql'), from: /^.*-- fence$/gm, to: '', atLeast: 2 };
    put('a/one.sql', 'select 1\n  and a = b -- fence\nwhere c');
    put('a/two.sql', 'case\n  when x then false -- fence\nend');
    put('a/three.lua', 'if x then return end -- fence');
    applySwaps(folder, [swap]);
    expect(readFileSync(join(folder, 'a/one.sql'), 'utf8')).toBe('select 1\n\nwhere c');
    expect(readFileSync(join(folder, 'a/three.lua'), 'utf8')).toContain('fence');
    expect(() => applySwaps(folder, [swap])).toThrow('"x" found 0 places, expected at least 2');
  });

  // the sources stand in for the build: the compiler keeps comments and these lines as they are
  it.each([GATEWAY_DEATH, ...RIGGED, ...Object.values(PLANTS).flat()].map((swap) => [swap.name, swap] as const))(
    'still finds its place in the sources: %s',
    (_name, swap) => {
      const sources = [
        'gateway/accept/accept.ts',
        'actors/main.ts',
        'actors/node/bells.ts',
        'actors/node/host.ts',
        'actors/device/actor.ts',
        'actors/lease/deadline.ts',
        'actors/transports/simulator/pipe.ts',
        'schema/sql/intent.sql',
        'schema/sql/result.sql',
        'schema/sql/adopt.sql',
        'actors/lease/renew.lua',
        'actors/lease/fence.lua',
        'actors/mailbox/peek.lua',
        'actors/mailbox/refill.lua',
      ];
      for (const path of sources) put(path.replace(/\.ts$/, '.js'), readFileSync(join(top, path), 'utf8'));
      applySwaps(folder, [swap]);
    },
  );
});
