export { type KeyRing, loadKeyRing, parseKeyRing } from './key-ring.ts';
export {
  checkKeyRing,
  createSessionStore,
  type DeviceSession,
  type KeyWrites,
  type SessionStore,
  type SessionStoreOptions,
} from './store.ts';
