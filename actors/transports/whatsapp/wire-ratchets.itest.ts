import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import type { DeviceSession, KeyWrites, SessionStore } from '../../sessions/index.ts';
import { FRIEND, outbound, until, useWire } from './wire.testing.ts';

/** Nodes were killed between the bytes of a message and the write of its Signal session: the next owner used the same keys again. */
describe('sessions of messages', () => {
  const wire = useWire();

  /** the real store; `before` may hold a write up or fail it, `wrote` is told of each that was made */
  function watched(before: (writes: KeyWrites) => Promise<void>, wrote: (writes: KeyWrites) => void = () => {}): SessionStore {
    const inner = wire.newStore();
    return {
      get cacheBytes() {
        return inner.cacheBytes;
      },
      async open(deviceId, epoch): Promise<DeviceSession> {
        const session = await inner.open(deviceId, epoch);
        return {
          creds: session.creds,
          saveCreds: session.saveCreds,
          flush: session.flush,
          get: session.get,
          erase: session.erase,
          async set(writes) {
            await before(writes);
            await session.set(writes);
            wrote(writes);
          },
        };
      },
    };
  }
  const toFriend = ({ session }: KeyWrites): boolean => Object.keys(session ?? {}).some((address) => address.includes(FRIEND.slice(1)));

  it('are stored before it leaves: when they cannot be, nothing leaves, and the next message can be read (T1, T3)', async () => {
    const first = await wire.paired();
    const friend = wire.server.account(FRIEND);
    expect((await first.connection.send(outbound('one'), 60_000)).kind).toBe('sent');
    await wire.transport.close();
    let away = false;
    wire.transport = wire.newTransport(
      {},
      watched(async (writes) => {
        if (away && toFriend(writes)) throw new Error('the database is away');
      }),
    );
    const second = wire.connect(first.device);
    await wire.online(second);
    away = true;
    expect(await second.connection.send(outbound('two'), 60_000)).toMatchObject({ kind: 'rejected', retry: true, code: 'SEND_FAILED' });
    away = false;
    expect((await second.connection.send(outbound('three'), 60_000)).kind).toBe('sent');
    await until('the last one', () => friend.arrived.some(({ text }) => text === 'three'));
    expect(friend.arrived.map(({ text }) => text)).toEqual(['one', 'three']);
    expect(friend.unreadable).toEqual([]);
  });

  it('an owner that may not act any more once they are stored sends nothing (T1)', async () => {
    let acting = true;
    const first = await wire.paired();
    await wire.transport.close();
    wire.transport = wire.newTransport(
      {},
      watched(
        async () => {},
        (writes) => {
          if (toFriend(writes)) acting = false;
        },
      ),
    );
    const second = wire.connect({ ...first.device, canAct: () => acting });
    await wire.online(second);
    expect(await second.connection.send(outbound('late'), 60_000)).toEqual({ kind: 'not-sent', code: 'FENCED' });
    const third = wire.connect({ ...first.device, canAct: () => true }, wire.newTransport());
    await wire.online(third);
    expect((await third.connection.send(outbound('after'), 60_000)).kind).toBe('sent');
    await until('it', () => wire.server.account(FRIEND).arrived.length > 0);
    expect(wire.server.account(FRIEND).arrived.map(({ text }) => text)).toEqual(['after']);
    expect(wire.server.account(FRIEND).unreadable).toEqual([]);
    await third.connection.close();
  });

  it('are written once for each message (T2)', async () => {
    const first = await wire.paired();
    expect((await first.connection.send(outbound('one'), 60_000)).kind).toBe('sent');
    await wire.transport.close();
    const writes: KeyWrites[] = [];
    wire.transport = wire.newTransport(
      {},
      watched(
        async () => {},
        (written) => void writes.push(written),
      ),
    );
    const second = wire.connect(first.device);
    await wire.online(second);
    for (const body of ['two', 'three', 'four']) expect((await second.connection.send(outbound(body), 60_000)).kind).toBe('sent');
    await wire.transport.close();
    expect(writes.filter(toFriend)).toHaveLength(3);
  });

  it('do not go back while both sides write at once', async () => {
    const { connection, inbound } = await wire.paired();
    const friend = wire.server.account(FRIEND);
    expect((await connection.send(outbound('hello'), 60_000)).kind).toBe('sent');
    await until('hello', () => friend.arrived.length === 1);
    const messages = 60;
    const speak = async (): Promise<void> => {
      for (let n = 0; n < messages; n++) {
        await wire.server.say(FRIEND, '+491700000001', `from the friend ${n}`);
        await systemClock.sleep(n % 7);
      }
    };
    const send = async (): Promise<void> => {
      for (let n = 0; n < messages; n++) expect((await connection.send(outbound(`to the friend ${n}`), 60_000)).kind).toBe('sent');
    };
    await Promise.all([speak(), send()]);
    await until('all of them', () => inbound.length >= messages && friend.arrived.length >= messages + 1);
    expect(friend.unreadable).toEqual([]);
    expect(inbound).toHaveLength(messages);
  });
});
