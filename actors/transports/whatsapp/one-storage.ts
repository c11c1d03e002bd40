import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire, syncBuiltinESMExports } from 'node:module';

/**
 * Baileys makes an AsyncLocalStorage for each socket, and before Node 24 each one that was ever used puts a property on every promise and timer of the
 * process. With 300 sockets (and one more storage each of ours) an `await` cost 0.5 ms, was 0.1 us, and three quarters of the heap were such properties.
 * Here all of them share one: a storage is a key in a map.
 */
const shared = new AsyncLocalStorage<ReadonlyMap<object, unknown>>();

/** As much of an AsyncLocalStorage as Baileys and ratchets.ts use; any number of them costs as much as one. */
export class SharedStorage<T> {
  run<R>(store: T, task: () => R): R {
    return shared.run(new Map(shared.getStore()).set(this, store), task);
  }
  getStore(): T | undefined {
    return shared.getStore()?.get(this) as T | undefined;
  }
}

/** Runs `task` outside of all of them: what it starts is no part of what its caller is in the middle of. */
export const outside: <R>(task: () => R) => R = AsyncLocalStorage.snapshot();

const hooks = createRequire(import.meta.url)('node:async_hooks') as { AsyncLocalStorage: unknown };

/** Runs `make` at once; whatever it makes with `new AsyncLocalStorage()` is a SharedStorage. Outside of it nothing has changed. */
export function withSharedStorage<R>(make: () => R): R {
  const { value, writable } = Object.getOwnPropertyDescriptor(hooks, 'AsyncLocalStorage') ?? {};
  // later versions of Node have none of this
  if (writable !== true) return make();
  hooks.AsyncLocalStorage = SharedStorage;
  syncBuiltinESMExports();
  try {
    return make();
  } finally {
    hooks.AsyncLocalStorage = value;
    syncBuiltinESMExports();
  }
}
