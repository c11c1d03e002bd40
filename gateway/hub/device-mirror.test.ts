import { describe, expect, it } from 'vitest';
import type { LiveReader, LiveSink } from '../../actors/live/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { DeviceRecord, LiveBatch, MessageEventRecord, RemovedDevice } from '../../schema/domain/index.ts';
import { createDeviceMirror } from './device-mirror.ts';
import { createEventMirror } from './event-mirror.ts';

type Sink = LiveSink<DeviceRecord | RemovedDevice>;

const device = (id: string): DeviceRecord => ({
  id,
  name: id,
  state: 'ONLINE',
  reason: null,
  node: 'n',
  epoch: 1,
  version: 1,
  transport: 'simulator',
  at: 1,
});

/** A reader that hands the sink to the test. */
function scripted<T>(): { readonly reader: LiveReader; sink(): LiveSink<T> } {
  let sink: LiveSink<T> | undefined;
  const reader: LiveReader = {
    open(_tenant, _stream, given) {
      sink = given as unknown as LiveSink<T>;
      return { ready: Promise.resolve(), close() {} };
    },
    close() {},
  };
  return {
    reader,
    sink() {
      if (sink === undefined) throw new Error('nothing was opened');
      return sink;
    },
  };
}

describe('the mirror of devices', () => {
  const batch = (seq: number, ...records: (DeviceRecord | RemovedDevice)[]): LiveBatch<DeviceRecord | RemovedDevice> => ({
    epoch: 'e',
    from: seq - 1,
    seq,
    at: 0,
    records,
  });
  it('names removed devices to whoever knew them, counts them no more, and has none in a snapshot', async () => {
    const { reader, sink } = scripted<DeviceRecord | RemovedDevice>();
    const mirror = createDeviceMirror(
      {
        reader,
        nodes: { silent: () => false, watch: () => () => {}, close() {} },
        clock: systemClock,
        totals: async () => ({ devices: 2, backlog: 0, sentPerMinute: 0, failedPerMinute: 0 }),
      },
      't',
    );
    const said: Sink = sink();
    said.reset({ epoch: 'e', seq: 5 }, [device('a'), device('b')], []);
    said.batch(batch(6, { id: 'a', removed: true }));
    said.batch(batch(7, device('b'), { id: 'never seen', removed: true }));
    const feed = mirror.fleet();
    expect(feed.range({ epoch: 'e', seq: 5 }, 0)).toMatchObject({
      kind: 'updates',
      updates: [{ from: 5, seq: 7, removed: ['a', 'never seen'], records: [{ id: 'b' }] }],
    });
    expect(feed.range({ epoch: 'e', seq: 6 }, 0)).toMatchObject({ updates: [{ removed: ['never seen'] }] });
    expect(feed.snapshot()).toMatchObject({ records: [{ id: 'b' }], removed: [] });
    expect(mirror.states()).toEqual(new Map([['ONLINE', 1]]));
    // queries ask a loaded mirror without a promise for each row
    expect(mirror.loaded()).toBe(false);
    await mirror.ready;
    expect(mirror.loaded()).toBe(true);
    mirror.close();
  });
});

describe('the mirror of events', () => {
  const event = (messageId: string): MessageEventRecord => ({ messageId, deviceId: 'd', state: 'SENT', cause: null, attempts: 1, at: 0 });
  it('lets a reader stand between two events of one batch, whatever was sifted out', () => {
    const { reader, sink } = scripted<MessageEventRecord>();
    const feed = createEventMirror(reader, 't').events({ deviceId: null, messageId: null });
    const said = sink();
    said.reset({ epoch: 'e', seq: 2 }, [], []);
    said.batch({ epoch: 'e', from: 2, seq: 6, at: 0, records: ['a', 'b', 'a', 'c'].map(event) });
    said.batch({ epoch: 'e', from: 6, seq: 7, at: 0, records: [event('d')] });
    const following = (seq: number): unknown => {
      const range = feed.range({ epoch: 'e', seq }, 0);
      return range.kind === 'gap' ? 'gap' : range.updates.map((update) => [update.seq, update.event.messageId]);
    };
    expect(following(2)).toEqual([
      [3, 'a'],
      [4, 'b'],
      [6, 'c'],
      [7, 'd'],
    ]);
    expect(following(4)).toEqual([
      [6, 'c'],
      [7, 'd'],
    ]);
    expect([following(7), following(1), following(8)]).toEqual([[], 'gap', 'gap']);
  });
});
