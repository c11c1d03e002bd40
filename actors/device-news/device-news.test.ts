import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Clock, systemClock } from '../../ops/lifecycle/index.ts';
import { DEVICE_STATES, type DeviceRecord, type DeviceState } from '../../schema/domain/index.ts';
import type { DeviceStateNote } from '../../schema/sql/index.ts';
import { createDeviceNews, toldState } from './index.ts';

const quick: Clock = { ...systemClock, after: (_ms, task, options) => systemClock.after(1, task, options) };
const record = (id: string, state: DeviceState, epoch = 1, version = 1): DeviceRecord => ({
  id,
  name: id,
  state,
  reason: null,
  node: 'node-1',
  epoch,
  version,
  transport: 'simulator',
  at: 5,
});
const log = { debug() {}, info() {}, warn() {}, error() {} };

let close: (() => Promise<void>) | undefined;
afterEach(() => close?.());

describe('device news', () => {
  it('say what a person wants to know: sending is being online, and nothing is said of the way', () => {
    const told = DEVICE_STATES.map((state) => [state, toldState(state)]);
    expect(Object.fromEntries(told)).toMatchObject({
      ONLINE: 'ONLINE',
      SENDING: 'ONLINE',
      THROTTLED: 'ONLINE',
      CONNECTING: null,
      MOVING: null,
      UNKNOWN: null,
      LOGGED_OUT: 'LOGGED_OUT',
    });
  });

  it('are written for tenants that ask, once for each state and epoch, the newest word of a device; a failure is made good', async () => {
    const written: string[] = [];
    let away = true;
    const news = createDeviceNews({
      tenants: async () => new Set(['asks']),
      async write(notes: readonly DeviceStateNote[]) {
        if (away) throw new Error('away');
        written.push(...notes.map((note) => `${note.tenantId} ${note.deviceId} ${note.state} ${note.epoch}`));
      },
      clock: quick,
      telemetry: { log },
    });
    close = () => news.close();
    news.start();
    await vi.waitFor(
      () => {
        news.note('asks', record('a', 'ONLINE'));
        news.note('asks', record('a', 'OFFLINE'));
        news.note('other', record('b', 'ONLINE'));
        away = false;
        expect(written).toEqual(['asks a OFFLINE 1']);
      },
      { timeout: 25_000 },
    );
    for (const state of ['SENDING', 'ONLINE', 'THROTTLED', 'ONLINE'] as const) news.note('asks', record('a', state));
    await vi.waitFor(() => expect(written).toEqual(['asks a OFFLINE 1', 'asks a ONLINE 1']), { timeout: 25_000 });
    // back from another owner, which may have said otherwise meanwhile
    news.note('asks', record('a', 'ONLINE', 3));
    await news.close();
    expect(written.at(-1)).toBe('asks a ONLINE 3');
  });
});
