import type { SignalDataSet, SignalKeyStore, SignalKeyStoreWithTransaction, SocketConfig } from '@whiskeysockets/baileys';
import { outside, SharedStorage } from './one-storage.ts';
import type { StoreWait } from './store-wait.ts';

/**
 * Signal sessions that do not go back. Baileys stores the sessions that a message was encrypted with after the message has left, as they were when the
 * sending began: a process that dies in between leaves keys that the next owner uses again, and a message that comes in at the same time is
 * undone. Either way somebody cannot read what comes next. Here what a message was encrypted with is stored before it leaves, and one change
 * of sessions is whole before the next one begins.
 * Owns: whose turn it is to change sessions, what is changed and not stored. Does not own: the store. Called by line.ts, one per socket.
 *
 * T1. A message leaves only after the sessions it was encrypted with are stored, in one write, and after `gate` has said yes once more.
 * T2. What was stored so is not written again when Baileys stores it.
 * T3. A sending that is stopped here, or whose sessions could not be stored, has left nothing; `leaving` is called only after that.
 * T4. Who changes sessions has the turn from reading them until they are stored, and reads what is stored, not what Baileys read before.
 * T5. What came is handed on (`received`) before the change of its session is stored: a process that dies before either leaves a message that its next owner can
 *     read when it is delivered again.
 * T6. A sending fails when the store does not answer; everything else waits for the store (store-wait.ts).
 *
 * The last thing that Baileys 7.0.0-rc14 does between encrypting a message and writing it is to look up the privacy token of the recipient; that
 * look-up is where T1 waits. What Baileys sends by itself (a message that a phone asked for again) is stored at each encryption.
 */
export interface Ratchets {
  /** the keys to give to Baileys */
  readonly keys: SignalKeyStore;
  /** wraps the maker of Baileys' signal repository */
  watch(make: SocketConfig['makeSignalRepository']): SocketConfig['makeSignalRepository'];
  /** runs one sending; `leaving` is called right before its bytes leave. Rejects as `task` does. */
  send(gate: () => boolean, leaving: () => void, task: () => Promise<void>): Promise<void>;
  /** before a message is encrypted. @throws when the sending it belongs to may not go on */
  look(): void;
}

type Repository = ReturnType<SocketConfig['makeSignalRepository']>;
type Stored = NonNullable<SignalDataSet['session']>;
interface Change {
  /** by address: what is changed and not stored; null = deleted */
  readonly changed: Map<string, Stored[string]>;
  readonly sending: Sending | undefined;
  /** a change by itself that has the turn: what it calls is part of it */
  alone: boolean;
}
interface Sending {
  readonly gate: () => boolean;
  readonly leaving: () => void;
  /** its bytes may have left */
  left: boolean;
  /** it has the turn */
  turn: Promise<() => void> | undefined;
}

const NEXT_BEFORE_WRITING = 'tctoken';

export function createRatchets(
  store: SignalKeyStore,
  wait: Pick<StoreWait, 'insist'>,
  received: (ciphertext: Uint8Array, plain: Uint8Array) => Promise<void>,
): Ratchets {
  const current = new SharedStorage<Change>();
  const stored = new WeakSet<object>();
  let last: Promise<void> = Promise.resolve();

  // T6
  const asked = <T>(task: () => Promise<T>): Promise<T> => (current.getStore()?.sending === undefined ? wait.insist(task) : task());

  /** waits for the turn. @returns ends it */
  const takeTurn = async (): Promise<() => void> => {
    const before = last;
    let end = (): void => {};
    last = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    return end;
  };
  const endTurn = async (sending: Sending): Promise<void> => {
    const { turn } = sending;
    sending.turn = undefined;
    if (turn !== undefined) (await turn)();
  };
  const isStored = (value: Stored[string]): boolean => value !== null && stored.has(value);
  const write = async (data: SignalDataSet): Promise<void> => {
    const { session = {}, ...others } = data;
    const left = Object.entries(session).filter(([, value]) => !isStored(value));
    if (left.length === 0 && Object.keys(others).length === 0) return;
    await asked(async () => store.set(left.length === 0 ? others : { ...others, session: Object.fromEntries(left) }));
    const changed = current.getStore()?.changed;
    for (const [address, value] of left) {
      if (value !== null) stored.add(value);
      if (changed?.get(address) === value) changed?.delete(address);
    }
  };
  const save = async ({ changed }: Change): Promise<void> => {
    if (changed.size > 0) await write({ session: Object.fromEntries(changed) });
  };
  const look = ({ gate }: Sending): void => {
    if (!gate()) throw new Error('this message may not be sent any more');
  };
  const beforeWriting = async (change: Change, sending: Sending): Promise<void> => {
    await save(change);
    await endTurn(sending);
    look(sending);
    sending.left = true;
    sending.leaving();
  };

  /** a change by itself: it has the turn until it is stored */
  const alone = async <T>(task: () => Promise<T>): Promise<T> => {
    if (current.getStore()?.alone === true) return task();
    const endOfTurn = await takeTurn();
    const change: Change = { changed: new Map(), sending: undefined, alone: true };
    try {
      return await current.run(change, async () => {
        const result = await task();
        await save(change);
        return result;
      });
    } finally {
      change.alone = false;
      endOfTurn();
    }
  };
  /** a change that belongs to a message: the sending has the turn until the message leaves */
  const within = async <T>(task: () => Promise<T>): Promise<T> => {
    const sending = current.getStore()?.sending;
    if (sending === undefined || sending.left) return alone(task);
    sending.turn ??= takeTurn();
    await sending.turn;
    return task();
  };
  const aside = <T>(task: () => Promise<T>): Promise<T> => (current.getStore()?.sending?.turn === undefined ? alone(task) : task());

  const open = async (repository: Repository, message: Parameters<Repository['decryptMessage']>[0]): Promise<Uint8Array> => {
    const plain = await repository.decryptMessage(message);
    // not a part of this change: nothing that begins there may count as one
    await outside(() => received(message.ciphertext, plain));
    return plain;
  };

  return {
    keys: {
      async get(type, ids) {
        const change = current.getStore();
        if (type === NEXT_BEFORE_WRITING && change?.sending?.left === false) await beforeWriting(change, change.sending);
        return asked(async () => store.get(type, ids));
      },
      set: write,
    },
    watch: (make) => (auth, log, ask) => {
      const keys: SignalKeyStore = {
        ...auth.keys,
        async get(type, ids) {
          const change = current.getStore();
          if (type !== 'session' || change === undefined) return auth.keys.get(type, ids);
          const found: Record<string, unknown> = await asked(async () => store.get(type, ids));
          for (const id of ids) if (change.changed.has(id)) found[id] = change.changed.get(id);
          return found as Awaited<ReturnType<typeof auth.keys.get<typeof type>>>;
        },
        async set(data) {
          const change = current.getStore();
          for (const [address, value] of Object.entries(data.session ?? {})) change?.changed.set(address, value);
          await auth.keys.set(data);
        },
      };
      const repository = make({ ...auth, keys }, log, ask);
      const { transaction } = auth.keys as SignalKeyStoreWithTransaction;
      return {
        ...repository,
        decryptMessage: (message) => aside(() => transaction(() => open(repository, message), message.jid)),
        encryptMessage: (message) => within(() => repository.encryptMessage(message)),
        injectE2ESession: (session) => within(() => repository.injectE2ESession(session)),
        migrateSession: (from, to) => aside(() => repository.migrateSession(from, to)),
        deleteSession: (jids) => aside(() => repository.deleteSession(jids)),
      };
    },
    async send(gate, leaving, task) {
      const sending: Sending = { gate, leaving, left: false, turn: undefined };
      try {
        await current.run({ changed: new Map(), sending, alone: false }, task);
      } finally {
        await endTurn(sending);
      }
    },
    look() {
      const sending = current.getStore()?.sending;
      if (sending !== undefined) look(sending);
    },
  };
}
