import type { SessionStore } from '../../../sessions/index.ts';
import { loadLibrary } from '../library.ts';

/** Stores creds as a pairing with the local server's account would have left them. The caller owns the device at `epoch`. */
export async function seedSession(store: SessionStore, deviceId: string, epoch: number, selfJid: string): Promise<void> {
  const library = await loadLibrary({ debug: () => {} });
  const session = await store.open(deviceId, epoch);
  session.saveCreds({ ...library.freshCreds(), me: { id: selfJid, name: 'demo' } });
  await session.flush();
}
