import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const excluded = ['**/node_modules/**', '**/dist/**', '**/dist.*/**', '**/.data/**', '**/fixtures/**'];

/**
 * Three projects: `unit` (no servers, milliseconds), `tidy` (the house rules) and `integration` (real Redis, Postgres and processes). Projects that differ in
 * maxWorkers must differ in groupOrder, so they run one after the other.
 */
export default defineConfig({
  // graphql ships two builds and refuses to mix them: take the one that Node itself (and so every dependency) resolves to
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
  test: {
    pool: 'forks',
    // no test reaches WhatsApp's servers (actors/transports/whatsapp/server-address.ts)
    env: { WHATSAPP_FORBID_REAL: 'true' },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{schema,actors,gateway,loadtest,ops}/**/*.test.ts'],
          exclude: [...excluded, 'ops/scripts/**'],
          maxWorkers: 2,
          // a busy machine is slow, not wrong
          testTimeout: 120_000,
          expect: { poll: { timeout: 30_000 } },
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'tidy',
          include: ['ops/scripts/**/*.test.ts'],
          exclude: excluded,
          maxWorkers: 2,
          testTimeout: 120_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['{schema,actors,gateway,loadtest,ops}/**/*.itest.ts'],
          exclude: excluded,
          globalSetup: ['./ops/start/vitest-global.ts'],
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // a busy machine is slow, not wrong
          expect: { poll: { timeout: 30_000, interval: 20 } },
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
