import { describe, expect, it } from 'vitest';
import { seededDice } from '../../../ops/lifecycle/index.ts';
import { backoffMs } from './backoff.ts';
import { DISCONNECTS, disconnectFor } from './disconnects.ts';
import { rejectionFor } from './rejections.ts';
import { serverAddress } from './server-address.ts';

/** The checklist, written down a second time on purpose: a row that changes by accident is found here. */
const EXPECTED: readonly (readonly [number | null, string, string])[] = [
  [null, 'NETWORK', 'backoff'],
  [401, 'LOGGED_OUT', 'stop LOGGED_OUT erase'],
  [402, 'ACCOUNT_BLOCKED', 'stop OFFLINE keep'],
  [403, 'ACCOUNT_BLOCKED', 'stop OFFLINE keep'],
  [405, 'CLIENT_VERSION_REFUSED', 'backoff slow'],
  [406, 'ACCOUNT_BLOCKED', 'stop OFFLINE keep'],
  [408, 'CONNECTION_LOST', 'backoff'],
  [411, 'MULTIDEVICE_MISMATCH', 'stop LOGGED_OUT keep'],
  [419, 'ACCOUNT_BLOCKED', 'stop OFFLINE keep'],
  [428, 'CONNECTION_CLOSED', 'backoff'],
  [429, 'RATE_LIMITED', 'backoff slow'],
  [440, 'REPLACED', 'conflict'],
  [500, 'BAD_SESSION', 'backoff at most 5'],
  [503, 'SERVICE_UNAVAILABLE', 'backoff'],
  [515, 'RESTART_REQUIRED', 'restart'],
  [599, 'UNKNOWN_DISCONNECT', 'backoff at most 10'],
];

function words(code: number | null, linked: boolean): string {
  const { action } = disconnectFor(code, linked);
  if (action.kind === 'stop') return `stop ${action.state} ${action.erase ? 'erase' : 'keep'}`;
  if (action.kind === 'backoff') return `backoff${action.slow ? ' slow' : ''}${action.limit === null ? '' : ` at most ${action.limit}`}`;
  return action.kind;
}

describe('the disconnect table', () => {
  it.each(EXPECTED)('of a linked device: %s is %s: %s', (code, reason, action) => {
    expect(disconnectFor(code, true).reason).toBe(reason);
    expect(words(code, true)).toBe(action);
  });

  it('has a test for every row', () => {
    expect(DISCONNECTS.map((row) => row.code)).toEqual(EXPECTED.slice(0, -1).map(([code]) => code));
  });

  it.each(EXPECTED)('while pairing: %s never starts another QR code by itself', (code) => {
    if (code === 515) expect(words(code, false)).toBe('restart');
    else expect(words(code, false)).toBe('stop UNPAIRED keep');
    expect(disconnectFor(408, false).reason).toBe('PAIRING_EXPIRED');
  });

  it('does not call a code expired that was never shown: WhatsApp was not reached', () => {
    expect(disconnectFor(408, false, false)).toMatchObject({ reason: 'NETWORK', action: { kind: 'stop', state: 'UNPAIRED' } });
    expect(disconnectFor(null, false, false).reason).toBe('NETWORK');
  });
});

describe('a proxy that lets nothing through', () => {
  it.each(['PROXY_UNREACHABLE', 'PROXY_REFUSED', 'PROXY_FORBIDDEN'] as const)('%s: tried again, without end; a pairing ends', (fault) => {
    expect(disconnectFor(408, true, true, fault)).toMatchObject({ reason: fault, action: { kind: 'backoff', limit: null } });
    expect(disconnectFor(408, false, true, fault)).toMatchObject({
      reason: fault,
      action: { kind: 'stop', state: 'UNPAIRED', erase: false },
    });
  });
});

describe('refusals', () => {
  it('463 is never tried again', () => {
    expect(rejectionFor('463', 1)).toMatchObject({ retry: false, code: 'WHATSAPP_463' });
  });
  it('429 waits long', () => {
    expect(rejectionFor('429', 4)).toMatchObject({ retry: true, code: 'WHATSAPP_429', retryAfterMs: 900_000 });
  });
  it('479 is tried once more at most', () => {
    expect(rejectionFor('479', 1)).toMatchObject({ retry: true, code: 'WHATSAPP_479' });
    expect(rejectionFor('479', 2)).toMatchObject({ retry: false, code: 'WHATSAPP_479' });
  });
  it('an unknown code is final and named; junk is not repeated', () => {
    expect(rejectionFor('487', 1)).toMatchObject({ retry: false, code: 'WHATSAPP_487' });
    expect(rejectionFor('<script>', 1)).toMatchObject({ retry: false, code: 'WHATSAPP_REFUSED' });
  });
});

describe('backoff', () => {
  it('is drawn between zero and a doubling bound, capped; slow from half the cap on', () => {
    const dice = seededDice(3);
    for (let failures = 1; failures < 60; failures++) {
      const wait = backoffMs(failures, false, dice, { baseMs: 1000, capMs: 60_000 });
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThanOrEqual(Math.min(60_000, 1000 * 2 ** (failures - 1)));
      expect(backoffMs(failures, true, dice, { baseMs: 1000, capMs: 60_000 })).toBeGreaterThanOrEqual(30_000);
    }
  });
});

describe("the guard against WhatsApp's own servers", () => {
  const address = (url: string | undefined, forbid: boolean, environment = {}): string | undefined =>
    serverAddress({ WHATSAPP_URL: url, WHATSAPP_FORBID_REAL: forbid }, null, environment);

  it.each([undefined, 'wss://web.whatsapp.com/ws/chat', 'ws://10.0.0.1:1', 'ws://127.0.0.1.example.com', 'ws://localhost.example.com'])(
    'refuses %s',
    (url) => {
      expect(() => address(url, true)).toThrow('WHATSAPP_FORBID_REAL');
      expect(() => address(url, false, { WHATSAPP_FORBID_REAL: 'true' })).toThrow('WHATSAPP_FORBID_REAL');
    },
  );
  it.each(['ws://127.0.0.1:4000/x', 'ws://localhost:1', 'ws://[::1]:9'])('lets %s pass', (url) => {
    expect(address(url, true)).toBe(url);
  });
  it('is in force in every test run, and off only where nothing asks for it', () => {
    expect(process.env['WHATSAPP_FORBID_REAL']).toBe('true');
    expect(() => serverAddress({ WHATSAPP_URL: undefined, WHATSAPP_FORBID_REAL: false })).toThrow('WHATSAPP_FORBID_REAL');
    expect(address(undefined, false)).toBeUndefined();
  });
});
