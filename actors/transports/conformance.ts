import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import type { LinkState, Transport, TransportDevice, TransportEvents } from './port.ts';

/** What the other end has to offer so that the suite can be run against a transport. Each method takes effect before it resolves. */
export interface TransportPeer {
  readonly transport: Transport;
  /** how often a message id reached the other end */
  arrivals(messageId: string): Promise<number>;
  /** the next send of the device is refused for good */
  refuseNext(deviceId: string): Promise<void>;
  /** the next send of the device arrives and is never answered */
  muteNext(deviceId: string): Promise<void>;
  /** the device's connection drops now; it comes back by itself, or by `restore` */
  drop(deviceId: string): Promise<void>;
  restore(deviceId: string): Promise<void>;
  /** a contact writes to the device; undefined when inbound messages do not pass through this transport */
  say?(deviceId: string, from: string, body: string): Promise<void>;
  /** makes the other end ready for the device before it is connected */
  prepare(deviceId: string): Promise<void>;
  close(): Promise<void>;
}

interface Seen {
  /** is told of each state as it comes */
  heard: (state: LinkState) => void;
  readonly states: LinkState[];
  readonly receipts: string[];
  readonly inbound: string[];
}

async function until(what: string, check: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  const end = systemClock.monotonic() + ms;
  while (!(await check())) {
    if (systemClock.monotonic() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await systemClock.sleep(5);
  }
}

function device(canAct: () => boolean = () => true): TransportDevice {
  const wall = systemClock.wall();
  return { id: uuidV7(wall), tenantId: uuidV7(wall), epoch: 7, node: 'node-1', phone: null, settings: {}, canAct };
}

function watch(store: () => Promise<void> = () => Promise.resolve()): { readonly seen: Seen; readonly events: TransportEvents } {
  const seen: Seen = { heard: () => {}, states: [], receipts: [], inbound: [] };
  return {
    seen,
    events: {
      state({ state }) {
        seen.states.push(state);
        seen.heard(state);
      },
      receipt: ({ messageId, state }) => void seen.receipts.push(`${messageId} ${state}`),
      inbound(message) {
        seen.inbound.push(message.id);
        return store();
      },
    },
  };
}

const outbound = (attempt = 1): { id: string; attempt: number; to: string; body: string } => ({
  id: uuidV7(systemClock.wall()),
  attempt,
  to: '+14155550100',
  body: 'hello',
});

/** The promises of actors/transports/port.ts, run against a real other end. Starts one peer per test. `inbound`: inbound messages pass through it. */
export function transportConformance(name: string, start: () => Promise<TransportPeer>, has: { readonly inbound: boolean }): void {
  describe(`${name} transport keeps the port's promises`, () => {
    let peer: TransportPeer | undefined;
    const begin = async (canAct?: () => boolean, store?: () => Promise<void>) => {
      peer = await start();
      const me = device(canAct);
      await peer.prepare(me.id);
      const { seen, events } = watch(store);
      const controller = new AbortController();
      const connection = peer.transport.connect(me, events, controller.signal);
      await until('ONLINE', () => seen.states.at(-1) === 'ONLINE');
      return { peer, me, seen, controller, connection };
    };
    afterEach(async () => {
      await peer?.transport.close();
      await peer?.close();
      peer = undefined;
    });

    it('goes from CONNECTING to ONLINE', async () => {
      const { seen } = await begin();
      expect(seen.states).toEqual(['CONNECTING', 'ONLINE']);
    });

    it('answers sent once the other end acknowledged, and receipts follow in order', async () => {
      const { connection, seen, peer } = await begin();
      const message = outbound();
      expect((await connection.send(message, 30_000)).kind).toBe('sent');
      expect(await peer.arrivals(message.id)).toBe(1);
      await until('both receipts', () => seen.receipts.length === 2);
      expect(seen.receipts).toEqual([`${message.id} DELIVERED`, `${message.id} READ`]);
    });

    it('answers rejected with retry false when refused for good', async () => {
      const { connection, me, peer } = await begin();
      await peer.refuseNext(me.id);
      expect(await connection.send(outbound(), 30_000)).toMatchObject({ kind: 'rejected', retry: false });
      expect((await connection.send(outbound(), 30_000)).kind).toBe('sent');
    });

    it('sends nothing when the owner may no longer act', async () => {
      let mine = true;
      const { connection, peer } = await begin(() => mine);
      mine = false;
      const message = outbound();
      expect(await connection.send(message, 1000)).toEqual({ kind: 'not-sent', code: 'FENCED' });
      mine = true;
      // a later message overtakes nothing: had the first one left, it would be there by now
      expect((await connection.send(outbound(), 30_000)).kind).toBe('sent');
      expect(await peer.arrivals(message.id)).toBe(0);
    });

    it('answers unknown when no answer comes in time, and the same id may be sent again', async () => {
      const { connection, me, peer } = await begin();
      await peer.muteNext(me.id);
      const message = outbound();
      expect((await connection.send(message, 1000)).kind).toBe('unknown');
      expect((await connection.send({ ...message, attempt: 2 }, 30_000)).kind).toBe('sent');
      expect(await peer.arrivals(message.id)).toBe(2);
    });

    it('answers not-sent while the device is offline and goes ONLINE again', async () => {
      const { connection, me, peer, seen } = await begin();
      let offline: ReturnType<typeof connection.send> | undefined;
      // in the same moment: it may be back in the next
      seen.heard = (state) => {
        if (state === 'OFFLINE')
          queueMicrotask(() => {
            offline ??= connection.send(outbound(), 500);
          });
      };
      await peer.drop(me.id);
      await until('OFFLINE', () => offline !== undefined);
      expect(await offline).toEqual({ kind: 'not-sent', code: 'OFFLINE' });
      await peer.restore(me.id);
      await until('ONLINE again', () => seen.states.at(-1) === 'ONLINE');
      expect((await connection.send(outbound(), 30_000)).kind).toBe('sent');
    });

    it('an aborted signal settles what waits and silences every event', async () => {
      const { connection, controller, me, peer, seen } = await begin();
      await peer.muteNext(me.id);
      const message = outbound();
      const waiting = connection.send(message, 60_000);
      await until('the message at the other end', async () => (await peer.arrivals(message.id)) === 1);
      const said = (): unknown => structuredClone([seen.states, seen.receipts, seen.inbound]);
      const before = said();
      controller.abort('EXPIRED');
      expect((await waiting).kind).toBe('unknown');
      await peer.drop(me.id);
      await systemClock.sleep(200);
      expect(said()).toEqual(before);
      expect((await connection.send(outbound(), 100)).kind).toBe('not-sent');
    });

    if (!has.inbound) return;
    it('an inbound message is repeated until it is stored, then not again', async () => {
      let stores = 0;
      const { me, peer, seen } = await begin(undefined, () => {
        stores += 1;
        return stores === 1 ? Promise.reject(new Error('the ledger is away')) : Promise.resolve();
      });
      await peer.say?.(me.id, '+14155550199', 'are you there?');
      await until('the repeat', () => seen.inbound.length === 2);
      expect(new Set(seen.inbound).size).toBe(1);
      await systemClock.sleep(1500);
      expect(seen.inbound.length).toBe(2);
    });
  });
}
