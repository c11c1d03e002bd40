import type { Telemetry } from '../../ops/telemetry/index.ts';

/** Gathers ids of one tick and loads them together; a failure leaves it to the sweep. */
export function reloader(load: (ids: readonly string[]) => Promise<void>, log: Telemetry['log']): (id: string) => void {
  let ids = new Set<string>();
  return (id) => {
    if (ids.size === 0) {
      setImmediate(() => {
        const batch = [...ids];
        ids = new Set();
        load(batch).catch((error: unknown) => log.warn('device.reload', { devices: batch.length }, error));
      });
    }
    ids.add(id);
  };
}
