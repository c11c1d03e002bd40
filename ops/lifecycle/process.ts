import type { Lifetime } from './lifetime.ts';

/**
 * Ends the lifetime on SIGTERM or SIGINT (repeats are ignored: under npm Ctrl-C arrives twice) and exits 0, or 1 when a release
 * failed or the deadline passed. Fatal errors end it too, with exit code 1.
 */
export function endOnSignals(
  lifetime: Lifetime,
  options: { readonly deadlineMs: number; readonly report: (message: string, error?: unknown) => void },
): void {
  let ending = false;
  const end = (why: string, code: number): void => {
    if (ending) return;
    ending = true;
    options.report(why);
    const late = setTimeout(() => {
      options.report(`shutdown did not end within ${options.deadlineMs} ms`);
      process.exit(1);
    }, options.deadlineMs);
    late.unref();
    lifetime.end().then(
      () => process.exit(code),
      (error: unknown) => {
        options.report('shutdown failed', error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => end('SIGTERM: shutting down', 0));
  process.on('SIGINT', () => end('SIGINT: shutting down', 0));
  process.on('uncaughtException', (error) => {
    options.report('uncaught exception', error);
    end('uncaught exception: shutting down', 1);
  });
  process.on('unhandledRejection', (error) => {
    options.report('unhandled rejection', error);
    end('unhandled rejection: shutting down', 1);
  });
}
