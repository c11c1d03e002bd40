import { describe, expect, it } from 'vitest';
import type { DeviceRecord } from '../domain/index.ts';
import type { DeviceRow } from '../sql/index.ts';
import { decodeId, encodeId, uuidOf } from './builder.ts';
import type { SendabilityRow } from './context.ts';
import { sendabilityOf } from './device/sendability.ts';
import { stateCounts } from './fleet/index.ts';
import { createChecks, phoneFault } from './validate.ts';

const ID = '018f0000-0000-7000-8000-0000000000d1';

describe('ids', () => {
  it('are plain text, and a bare uuid is taken too', () => {
    expect(encodeId('Device', ID)).toBe(`Device:${ID}`);
    expect(decodeId(`Device:${ID}`)).toEqual({ typename: 'Device', id: ID });
    expect(uuidOf('Device', ID.toUpperCase())).toBe(ID);
    expect(uuidOf('Device', `Message:${ID}`)).toBeNull();
    expect(uuidOf('Device', 'Device:1')).toBeNull();
  });
});

describe('phone numbers', () => {
  it.each(['+491701234567', '+12025550123', '+1234567', '+123456789012345'])('%s is fine', (text) => expect(phoneFault(text)).toBeNull());
  it.each([
    ['', /empty/],
    ['491701234567', /\+/],
    ['+49abc', /letters/],
    ['+49-170-1234567', /separators/],
    ['+0123456789', /starts with 0/],
    ['+123456', /too short/],
    ['+1234567890123456', /too long/],
    ['+49170١٢٣٤', /not digits/],
  ])('%j: says what is wrong', (text, fault) => expect(phoneFault(text)).toMatch(fault));
});

it('a schedule a moment ago is now, one far ahead is refused', () => {
  const checks = createChecks();
  expect(checks.schedule(['at'], 1_000_000 - 59_000, 1_000_000)).toBeNull();
  expect(checks.schedule(['at'], 1_060_000, 1_000_000)).toBe(1_060_000);
  checks.done();
  checks.schedule(['at'], 1_000_000 + 367 * 86_400_000, 1_000_000);
  expect(() => checks.done()).toThrow(/SCHEDULE_INVALID/);
});

describe('sendability', () => {
  const device = {
    paused: false,
    quarantined: false,
    paired: true,
    transport: 'simulator',
    dailyCap: 10,
    settings: {},
  } as unknown as DeviceRow;
  const row: SendabilityRow = {
    deviceId: ID,
    epoch: 1,
    node: 'n',
    backlog: 3,
    nextSendAt: null,
    sentToday: 0,
    sendsADay: 10,
    quietUntil: null,
    dayEndsAt: 9000,
  };
  const live = { state: 'ONLINE' } as DeviceRecord;
  it('a connected device with work may send', () => {
    expect(sendabilityOf(device, row, { ...live, state: 'THROTTLED', reason: 'PROBATION' }, 0)).toMatchObject({
      canSend: false,
      reasons: ['PROBATION'],
    });
    expect(sendabilityOf(device, row, live, 0)).toEqual({ canSend: true, reasons: [], until: null, backlog: 3, nextSendAt: null });
  });
  it('pace and an empty queue do not stop it, a cap does, and says until when', () => {
    expect(sendabilityOf(device, { ...row, backlog: 0, nextSendAt: 500 }, live, 100)).toMatchObject({
      canSend: true,
      reasons: ['PACE', 'EMPTY_QUEUE'],
      until: 500,
    });
    expect(sendabilityOf(device, { ...row, sentToday: 10 }, live, 0)).toMatchObject({
      canSend: false,
      reasons: ['DAILY_CAP'],
      until: 9000,
    });
  });
  it('says that its hours are quiet, and when they end', () => {
    expect(sendabilityOf(device, { ...row, quietUntil: 700 }, live, 100)).toMatchObject({
      canSend: false,
      reasons: ['QUIET_HOURS'],
      until: 700,
    });
  });
  it('says what the provider said, as long as it holds: slow down, no new chats', () => {
    const told = { ...device, settings: { standing: { heldUntil: 500, coldUntil: 800, coldWhy: 'NEW_CHAT_CAP' } } };
    expect(sendabilityOf(told, row, live, 100)).toMatchObject({ canSend: false, reasons: ['RATE_LIMITED', 'COLD_PAUSED'], until: 500 });
    expect(sendabilityOf(told, row, live, 600)).toMatchObject({ canSend: true, reasons: ['COLD_PAUSED'], until: 800 });
    expect(sendabilityOf(told, row, live, 900)).toMatchObject({ canSend: true, reasons: [], until: null });
  });
  it('names every reason, the weightiest first', () => {
    const held = { ...device, paused: true, quarantined: true, paired: false, transport: 'whatsapp' } as DeviceRow;
    expect(sendabilityOf(held, row, undefined, 0)).toMatchObject({
      canSend: false,
      reasons: ['QUARANTINED', 'PAUSED', 'NOT_PAIRED', 'NO_OWNER'],
    });
  });
});

it('counts of states add up to the devices: what nobody spoke for is UNKNOWN', () => {
  const counts = stateCounts(new Map([['ONLINE', 3]] as const), 5);
  expect(counts).toEqual([
    { state: 'ONLINE', count: 3 },
    { state: 'UNKNOWN', count: 2 },
  ]);
});
