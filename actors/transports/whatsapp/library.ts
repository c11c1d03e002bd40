import type { Log } from '../../../ops/telemetry/index.ts';

const METHODS = ['debug', 'dir', 'error', 'info', 'log', 'trace', 'warn'] as const;

/**
 * Replaces the console's methods for the whole process. libsignal (below Baileys) prints whole sessions with their private keys through
 * console.info; what it says is dropped unread, that it spoke is counted in the debug log. Nothing of ours writes to the console.
 */
export function silenceConsole(log: Pick<Log, 'debug'>): void {
  const target = globalThis.console as unknown as Record<string, unknown>;
  for (const method of METHODS) target[method] = (): void => log.debug('library.console', { method });
}

/** Loads Baileys, once somebody needs it, and never before the console is silent: processes without WhatsApp devices do not pay for it. */
export async function loadLibrary(log: Pick<Log, 'debug'>): Promise<typeof import('./line.ts')> {
  silenceConsole(log);
  return import('./line.ts');
}
