import { createRequire } from 'node:module';
import { afterEach, expect, it } from 'vitest';
import { loadLibrary } from './library.ts';

const METHODS = ['debug', 'dir', 'error', 'info', 'log', 'trace', 'warn'] as const;
const target = Reflect.get(globalThis, 'console') as unknown as Record<string, unknown>;
const original = { ...target };
afterEach(() => void Object.assign(target, original));

/**
 * libsignal 6.0.0 prints each session that it closes, private keys included. Seen in logs of other products; so the console is
 * replaced before it loads, and this calls the very function that prints.
 */
it('no private key reaches the console', async () => {
  const printed: string[] = [];
  for (const method of METHODS) target[method] = (...said: unknown[]) => void printed.push(JSON.stringify(said));
  const { SessionRecord } = createRequire(import.meta.url)('libsignal') as {
    SessionRecord: new () => { closeSession(session: object): void };
  };
  const session = { indexInfo: { closed: -1 }, currentRatchet: { ephemeralKeyPair: { privKey: 'the private key' } } };
  new SessionRecord().closeSession(session);
  expect(printed.join()).toContain('privKey');

  printed.length = 0;
  const told: string[] = [];
  await loadLibrary({ debug: (event, fields) => void told.push(`${event} ${JSON.stringify(fields)}`) });
  session.indexInfo.closed = -1;
  new SessionRecord().closeSession(session);
  expect(printed).toEqual([]);
  expect(told).toEqual(['library.console {"method":"info"}']);
});
