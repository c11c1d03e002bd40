export { backupSessions, checkBackup, type Restored, restoreSessions } from './backup.ts';
export { openSealedStore, type StoreChoice } from './choose.ts';
export { createFileStore } from './file-store.ts';
export { type Imported, importFolder } from './import.ts';
export { type KeyRing, loadKeyRing, parseKeyRing, proxyContext, webhookContext } from './key-ring.ts';
export { createPostgresStore } from './postgres-store.ts';
export { type Resealed, resealSecrets, resealSessions } from './reseal.ts';
export type { Sealed, SealedArchive, SealedStore } from './sealed.ts';
export {
  checkKeyRing,
  createSessionStore,
  type DeviceSession,
  type KeyWrites,
  type SessionStore,
  type SessionStoreOptions,
} from './store.ts';
