import { runWorldSoon } from './world.ts';

/** A process that runs worlds: is sent seeds, one at a time, and answers outcomes (pool.ts). */
process.on('message', (seed: number) => {
  runWorldSoon(seed).then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => {
      process.stderr.write(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
