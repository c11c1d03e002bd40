import { describe, expect, it } from 'vitest';
import { createTextCache } from './cache.ts';

describe('the cache', () => {
  it('stays under its cap and drops what was used longest ago (I1)', () => {
    const cache = createTextCache(1000);
    for (let i = 0; i < 100; i++) {
      cache.set(`k${i}`, 'x'.repeat(50));
      cache.get('k0');
      expect(cache.bytes).toBeLessThanOrEqual(1000);
    }
    expect(cache.get('k0')).toBe('x'.repeat(50));
    expect(cache.get('k1')).toBeUndefined();
    expect(cache.get('k99')).toBeDefined();
  });

  it('counts a replaced entry once, and does not keep what is larger than the cap', () => {
    const cache = createTextCache(1000);
    for (let i = 0; i < 100; i++) cache.set('same', 'x'.repeat(100));
    expect(cache.bytes).toBeLessThan(500);
    cache.set('large', 'x'.repeat(1000));
    expect(cache.get('large')).toBeUndefined();
    cache.delete('same');
    expect(cache.bytes).toBe(0);
  });

  it('remembers that a key does not exist (I2)', () => {
    const cache = createTextCache(1000);
    cache.set('gone', null);
    expect(cache.get('gone')).toBeNull();
  });
});
