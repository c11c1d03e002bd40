import { FlotillaError } from '../../../../schema/domain/index.ts';
import type { DeviceSession, SessionStore } from '../../../sessions/index.ts';

/** A session store in memory that writes down what was done to it, and can be told to fail. */
export interface FakeStore extends SessionStore {
  /** creds by device, as JSON */
  readonly saved: Map<string, string>;
  readonly log: string[];
  /** the next flushes fail as if the database were away */
  failFlush: boolean;
  fenced: boolean;
}

export function createFakeStore(): FakeStore {
  const saved = new Map<string, string>();
  const log: string[] = [];
  const store: FakeStore = {
    saved,
    log,
    failFlush: false,
    fenced: false,
    cacheBytes: 0,
    open: (deviceId) => {
      const text = saved.get(deviceId);
      let due: string | undefined;
      const session: DeviceSession = {
        creds: text === undefined ? null : (JSON.parse(text) as unknown),
        saveCreds: (creds) => {
          due = JSON.stringify(creds);
        },
        flush: async () => {
          if (store.fenced) throw new FlotillaError('fenced', 'SESSION_FENCED', 'fenced');
          if (store.failFlush) throw new Error('the database is away');
          log.push('flush');
          if (due !== undefined) saved.set(deviceId, due);
          due = undefined;
        },
        get: async () => ({}),
        set: async () => {},
        erase: async () => {
          if (store.fenced) throw new FlotillaError('fenced', 'SESSION_FENCED', 'fenced');
          log.push('erase');
          due = undefined;
          saved.delete(deviceId);
        },
      };
      return Promise.resolve(session);
    },
  };
  return store;
}
