import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from './index.ts';

const problems = (env: Record<string, string>): readonly string[] => {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};
const masters = (count: number): string => Array.from({ length: count }, (_, n) => `redis://127.0.0.1:${7000 + n}`).join(',');

describe('settings that contradict each other stop the process with their names', () => {
  it('three renewals fit into a lease, to the millisecond', () => {
    expect(problems({ LEASE_TTL_MS: '6000', LEASE_RENEW_MS: '2000' })).toEqual([]);
    expect(problems({ LEASE_TTL_MS: '6000', LEASE_RENEW_MS: '2001' })).toEqual([
      'LEASE_RENEW_MS: expected at most a third of LEASE_TTL_MS',
    ]);
    expect(problems({ LEASE_TTL_MS: '1200', LEASE_RENEW_MS: '400' })).toEqual([
      'LEASE_MARGIN_MS: expected at most a third of LEASE_TTL_MS',
    ]);
  });

  it.each([1, 3, 5])('takes %i lock masters', (count) => expect(problems({ LOCK_REDIS_URLS: masters(count) })).toEqual([]));
  it.each([2, 4, 6, 7])('refuses %i lock masters', (count) =>
    expect(problems({ LOCK_REDIS_URLS: masters(count) })).toEqual(['LOCK_REDIS_URLS: expected 1, 3 or 5 addresses']),
  );
  it('refuses a master that is named twice: it would have two votes', () =>
    expect(problems({ LOCK_REDIS_URLS: `${masters(2)},redis://127.0.0.1:7000` })).toEqual([
      'LOCK_REDIS_URLS: expected different addresses',
    ]));
});
