import { runWorldSoon, settingsOf } from './world.ts';

/** there because of the pool's --expose-gc */
const collect = (globalThis as { readonly gc?: (options: { readonly type: 'minor' }) => void }).gc;

const settings = settingsOf(process.argv[2]);

/** A process that runs worlds: is sent seeds, one at a time, and answers outcomes with the CPU time they took (pool.ts). */
process.on('message', (seed: number) => {
  const before = process.cpuUsage();
  runWorldSoon(seed, settings).then(
    (outcome) => {
      collect?.({ type: 'minor' });
      const { user, system } = process.cpuUsage(before);
      process.send?.({ outcome, cpuMs: (user + system) / 1000 });
    },
    (error: unknown) => {
      process.stderr.write(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
