import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from './fault.ts';
import { ORDERS_FILE, ordersFile, RIGGED, VERSION_ENV } from './orders.ts';

/** The grounds that several faults share. Each is one object: sharing is by reference. */
export const PLAIN: Ground = { name: 'plain' };

export const DURABLE: Ground = { name: 'durable', durable: true };

export const PROXIED: Ground = { name: 'proxied', proxy: 'both' };

/** A short lease, so that many pauses fit. */
export const SHORT_LEASE: Ground = { name: 'short lease', ttlMs: 2000, env: { LEASE_RENEW_MS: '500', LEASE_MARGIN_MS: '300' } };

export const QUICK_RETRIES = { SEND_TIMEOUT_MS: '1000', RETRY_BASE_MS: '100', RETRY_CAP_MS: '500', RETRY_BUDGET: '3' };

export const versionFile = (folder: string, node: string): string => join(folder, `version-${node}`);

/** The test build, and retries that end soon. */
export const ORDERED: Ground = {
  name: 'rigged',
  swaps: RIGGED,
  env: QUICK_RETRIES,
  envOf: (name, folder) => ({
    [ORDERS_FILE]: ordersFile(folder, name),
    [VERSION_ENV]: existsSync(versionFile(folder, name)) ? readFileSync(versionFile(folder, name), 'utf8') : undefined,
  }),
};
