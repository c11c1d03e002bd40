import { AsyncLocalStorage, executionAsyncResource } from 'node:async_hooks';
import { addTransactionCapability, type SignalKeyStore } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { SharedStorage, withSharedStorage } from './one-storage.ts';
import { quietLogger } from './quiet-logger.ts';

const log = quietLogger({ debug: () => {}, info: () => {}, warn: () => {}, error: () => {} });

/** 300 sockets made every promise of the node carry 600 properties: 7 MB and most of the CPU for each session. */
describe('storages of sockets', () => {
  it('are one for all sockets of Baileys, and their transactions stay apart', async () => {
    const written: string[] = [];
    const stores = Array.from({ length: 50 }, (_, socket) => {
      const keys: SignalKeyStore = { get: async () => ({}), set: async (data) => void written.push(`${socket} ${JSON.stringify(data)}`) };
      return withSharedStorage(() => addTransactionCapability(keys, log, { maxCommitRetries: 1, delayBetweenTriesMs: 1 }));
    });
    const properties = (): number => Object.getOwnPropertySymbols(executionAsyncResource()).length;
    const before = properties();
    let most = 0;
    await Promise.all(
      stores.map((keys, socket) =>
        keys.transaction(async () => {
          await keys.set({ 'lid-mapping': { [socket]: 'a' } });
          await new Promise((resolve) => setImmediate(resolve));
          most = Math.max(most, properties());
          expect(keys.isInTransaction()).toBe(true);
          // a transaction of another socket is none of this one
          expect(stores[(socket + 1) % stores.length]?.isInTransaction()).toBe(false);
        }, 'key'),
      ),
    );
    expect(written).toHaveLength(stores.length);
    expect(most - before).toBeLessThan(10);
  });

  it('are as they were outside of it', () => {
    expect(() => withSharedStorage(() => expect(new AsyncLocalStorage()).toBeInstanceOf(SharedStorage))).not.toThrow();
    expect(new AsyncLocalStorage()).not.toBeInstanceOf(SharedStorage);
    expect(() =>
      withSharedStorage(() => {
        throw new Error('no socket');
      }),
    ).toThrow('no socket');
    expect(new AsyncLocalStorage()).not.toBeInstanceOf(SharedStorage);
  });

  it('nest, end with the task, and go along with what was begun in it', async () => {
    const one = new SharedStorage<string>();
    const two = new SharedStorage<string>();
    const later = one.run('a', () =>
      two.run('b', async () => {
        await null;
        return one.run('c', () => `${one.getStore()} ${two.getStore()}`).concat(` ${one.getStore()}`);
      }),
    );
    expect(one.getStore()).toBeUndefined();
    expect(await later).toBe('c b a');
  });
});
