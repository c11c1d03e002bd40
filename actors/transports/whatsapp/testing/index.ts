import { silenceConsole } from '../library.ts';
import type { WhatsappServer } from './local/server.ts';

export { type LocalWhatsapp, startLocalWhatsapp } from './local-server.ts';
export { seedSession } from './seed.ts';
export type { WhatsappServer };

/** The local WhatsApp-shaped server that knows pairing, receipts and errors (local/server.ts). `port` 0 = a free one. */
export async function startWhatsappServer(port = 0): Promise<WhatsappServer> {
  silenceConsole({ debug: () => {} });
  const { startServer } = await import('./local/server.ts');
  return startServer(port);
}
