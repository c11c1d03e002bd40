import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWhatsAppServer } from '@openclaw/crabline';

/**
 * A WhatsApp-shaped server on loopback (crabline): the real Noise handshake, sends with acks, injected inbound messages. It decrypts
 * what a device sends. It knows no QR pairing, no receipts, no errors, and one account; a client counts as paired when its creds
 * name that account. For tests and demos only.
 */
export interface LocalWhatsapp {
  /** for WHATSAPP_URL */
  readonly url: string;
  /** the one account's JID */
  readonly selfJid: string;
  /** E.164 of that account */
  readonly phone: string;
  /** messages that arrived and were acked, decrypted, oldest first */
  readonly arrived: readonly { readonly id: string; readonly to: string; readonly text: string }[];
  /** a contact writes to the account */
  say(from: string, text: string): Promise<void>;
  close(): Promise<void>;
}

/** `again`: the address of a closed one, to come back on the same port with the same token. */
export async function startLocalWhatsapp(again?: string): Promise<LocalWhatsapp> {
  const folder = mkdtempSync(join(tmpdir(), 'local-whatsapp-'));
  const arrived: { id: string; to: string; text: string }[] = [];
  const server = await startWhatsAppServer({
    recorderPath: join(folder, 'recorder.jsonl'),
    ...(again === undefined ? {} : { port: Number(new URL(again).port), accessToken: new URL(again).searchParams.values().next().value }),
    onEvent: (event) => {
      const { accepted, body } = event as { accepted?: boolean; body?: unknown };
      const { key, message } = (body ?? {}) as { key?: { id: string; remoteJid: string }; message?: { conversation?: string } };
      if (accepted === true && key !== undefined) arrived.push({ id: key.id, to: key.remoteJid, text: message?.conversation ?? '' });
    },
  });
  const { endpoints, selfJid, adminToken } = server.manifest;
  return {
    url: endpoints.baileysWebSocketUrl,
    selfJid,
    phone: `+${selfJid.replace(/[:@].*$/, '')}`,
    arrived,
    async say(from, text) {
      const jid = `${from.replace(/^\+/, '')}@s.whatsapp.net`;
      const answer = await fetch(endpoints.adminInboundUrl, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-crabline-admin-token': adminToken },
        body: JSON.stringify({ chatJid: jid, senderJid: jid, text }),
      });
      if (!answer.ok) throw new Error(`the local server refused the inbound message: ${answer.status} ${await answer.text()}`);
    },
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
