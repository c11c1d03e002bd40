import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Sealed } from './sealed.ts';

/** What a store is tried with. Each device is owned at epoch 1 when it is made. */
export interface SealedWorld {
  /** a store as another process would have it */
  open(): Sealed;
  newDevice(): Promise<string>;
  /** the device has another owner from now on */
  raise(deviceId: string, epoch: number): Promise<void>;
}

/** The suite that every store of sealed sessions passes; K1-K3 of sealed.ts. */
export function sealedConformance(name: string, world: () => SealedWorld): void {
  const byId = (rows: readonly { readonly id: string; readonly value: Uint8Array }[]): Record<string, Buffer> =>
    Object.fromEntries(rows.map(({ id, value }) => [id, Buffer.from(value)]));

  describe(`${name} as a store of sealed sessions`, () => {
    let store: Sealed;
    let device: string;
    beforeEach(async () => {
      store = world().open();
      device = await world().newDevice();
    });

    it('has nothing of a device it never saw', async () => {
      expect(await store.open(device, 1)).toBeNull();
      expect(await store.keys(device, 'session', ['a'])).toEqual([]);
      expect(await store.read(device)).toBeNull();
    });

    it('gives back the bytes it was given, to another process too; null deletes', async () => {
      const [creds, one, two] = [randomBytes(900), randomBytes(3000), randomBytes(1)];
      await store.open(device, 1);
      expect(await store.saveCreds(device, 1, creds)).toBe(true);
      expect(
        await store.setKeys(device, 1, [
          { type: 'session', id: '49_1.0', value: one },
          { type: 'pre-key', id: '49_1.0', value: two },
          { type: 'sender-key', id: 'a@g.us::b::0', value: one },
        ]),
      ).toBe(true);
      await store.setKeys(device, 1, [{ type: 'sender-key', id: 'a@g.us::b::0', value: null }]);
      for (const reader of [store, world().open()]) {
        expect(byId(await reader.keys(device, 'session', ['49_1.0', 'nobody']))).toEqual({ '49_1.0': one });
        expect(byId(await reader.keys(device, 'pre-key', ['49_1.0']))).toEqual({ '49_1.0': two });
        expect(await reader.keys(device, 'sender-key', ['a@g.us::b::0'])).toEqual([]);
        const session = await reader.read(device);
        expect(Buffer.from(session?.creds ?? [])).toEqual(creds);
        expect(session?.keys.map(({ type }) => type).sort()).toEqual(['pre-key', 'session']);
      }
      expect(Buffer.from((await world().open().open(device, 1)) ?? [])).toEqual(creds);
    });

    it('refuses a stale owner once the next one has opened: creds, keys, erasing; nothing of it shows (K1)', async () => {
      const stale = store;
      await stale.open(device, 1);
      await stale.saveCreds(device, 1, Buffer.from('first creds'));
      await stale.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.from('first') }]);
      await world().raise(device, 2);
      const next = world().open();
      expect(Buffer.from((await next.open(device, 2)) ?? []).toString()).toBe('first creds');
      expect(await stale.saveCreds(device, 1, Buffer.from('stale'))).toBe(false);
      expect(await stale.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.from('stale') }])).toBe(false);
      expect(await stale.erase(device, 1)).toBe(false);
      expect(byId(await next.keys(device, 'session', ['a']))).toEqual({ a: Buffer.from('first') });
      expect(await next.setKeys(device, 2, [{ type: 'session', id: 'a', value: Buffer.from('second') }])).toBe(true);
      // who comes late may look, and sees what the owner has
      expect(Buffer.from((await world().open().open(device, 1)) ?? []).toString()).toBe('first creds');
      expect(byId(await next.keys(device, 'session', ['a']))).toEqual({ a: Buffer.from('second') });
    });

    it('what a stale owner was told is written is there for the next, whenever that one opens (K1, K2)', async () => {
      for (let round = 0; round < 20; round++) {
        const one = await world().newDevice();
        const [old, next] = [world().open(), world().open()];
        await old.open(one, 1);
        await old.saveCreds(one, 1, Buffer.from('creds'));
        const confirmed: string[] = [];
        let over = false;
        const writing = (async () => {
          for (let n = 0; !over && n < 200; n++) {
            const done = await old.setKeys(one, 1, [{ type: 'session', id: `${n}`, value: Buffer.from('x') }]);
            if (!done) return;
            confirmed.push(`${n}`);
          }
        })();
        while (confirmed.length < 3) await new Promise((resolve) => setImmediate(resolve));
        await world().raise(one, 2);
        await next.open(one, 2);
        const seen = new Set((await next.keys(one, 'session', [...Array(200).keys()].map(String))).map(({ id }) => id));
        over = true;
        await writing;
        expect(confirmed.filter((id) => !seen.has(id))).toEqual([]);
      }
    });

    it('erases creds and keys, and the device can begin anew', async () => {
      await store.open(device, 1);
      await store.saveCreds(device, 1, Buffer.from('creds'));
      await store.setKeys(device, 1, [{ type: 'session', id: 'a', value: Buffer.from('x') }]);
      expect(await store.devices()).toContain(device);
      expect(await store.erase(device, 1)).toBe(true);
      expect(await store.devices()).not.toContain(device);
      expect(await store.read(device)).toBeNull();
      expect(await store.keys(device, 'session', ['a'])).toEqual([]);
      expect(await store.saveCreds(device, 1, Buffer.from('new'))).toBe(true);
      expect(Buffer.from((await world().open().open(device, 1)) ?? []).toString()).toBe('new');
    });

    it('swaps only what still is what it was', async () => {
      await store.open(device, 1);
      await store.saveCreds(device, 1, Buffer.from('creds'));
      await store.setKeys(device, 1, [
        { type: 'session', id: 'a', value: Buffer.from('a1') },
        { type: 'session', id: 'b', value: Buffer.from('b1') },
      ]);
      const changes = [
        { type: '', id: '', old: Buffer.from('creds'), fresh: Buffer.from('fresh creds') },
        { type: 'session', id: 'a', old: Buffer.from('a1'), fresh: Buffer.from('a2') },
        { type: 'session', id: 'b', old: Buffer.from('other'), fresh: Buffer.from('b2') },
        { type: 'session', id: 'gone', old: Buffer.from('x'), fresh: Buffer.from('y') },
      ];
      expect(await store.swap(device, changes)).toBe(2);
      expect(byId(await store.keys(device, 'session', ['a', 'b', 'gone']))).toEqual({ a: Buffer.from('a2'), b: Buffer.from('b1') });
      expect(Buffer.from((await store.open(device, 1)) ?? []).toString()).toBe('fresh creds');
    });

    it('keeps many devices and many writes apart', async () => {
      const devices = await Promise.all(Array.from({ length: 8 }, () => world().newDevice()));
      await Promise.all(
        devices.map(async (one, index) => {
          await store.open(one, 1);
          await Promise.all(
            Array.from({ length: 20 }, (_, n) =>
              store.setKeys(one, 1, [{ type: 'session', id: `${n}`, value: Buffer.from(`${index}/${n}`) }]),
            ),
          );
        }),
      );
      for (const [index, one] of devices.entries()) {
        const found = byId(await store.keys(one, 'session', ['0', '19']));
        expect(found).toEqual({ '0': Buffer.from(`${index}/0`), '19': Buffer.from(`${index}/19`) });
      }
    });
  });
}
