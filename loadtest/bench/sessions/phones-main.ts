import { startWhatsappServer, type WhatsappServer } from '../../../actors/transports/whatsapp/testing/index.ts';

/**
 * The other side of the bench in a process of its own, so that its memory and its work are not the node's: our WhatsApp-shaped server with its
 * accounts and phones. Driven over IPC; every question gets one answer with the same number.
 */
export type Ask =
  | { readonly kind: 'scan'; readonly phone: string; readonly qr: string }
  | { readonly kind: 'say'; readonly from: string; readonly to: string; readonly text: string }
  | { readonly kind: 'counts'; readonly phones: readonly string[]; readonly peers: readonly string[] };

export interface Counts {
  /** messages that phones decrypted, and those of them that came twice */
  readonly arrived: number;
  readonly doubled: number;
  /** messages that a phone could not decrypt */
  readonly unreadable: number;
  /** devices logged in right now, and logins so far */
  readonly online: number;
  readonly logins: number;
  /** messages to devices that those have confirmed as read by them, and those they asked for again */
  readonly confirmed: number;
  readonly askedAgain: number;
}
export interface Question {
  readonly number: number;
  readonly ask: Ask;
}
export type Answer =
  | { readonly url: string }
  | { readonly number: number; readonly result?: Counts | undefined; readonly problem?: string };

function counts(server: WhatsappServer, phones: readonly string[], peers: readonly string[]): Counts {
  let arrived = 0;
  let doubled = 0;
  let unreadable = 0;
  for (const peer of peers) {
    const account = server.account(peer);
    arrived += account.arrived.length;
    doubled += account.arrived.length - new Set(account.arrived.map(({ id, from }) => `${from}/${id}`)).size;
    unreadable += account.unreadable.length;
  }
  let confirmed = 0;
  let askedAgain = 0;
  for (const phone of phones) {
    const receipts = server.account(phone).receiptsSent;
    askedAgain += receipts.filter(({ type }) => type === 'retry').length;
    confirmed += new Set(receipts.filter(({ type, id }) => type !== 'retry' && id.startsWith('3A')).map(({ id }) => id)).size;
  }
  return { arrived, doubled, unreadable, confirmed, askedAgain, online: server.online().length, logins: server.seen.logins };
}

const server = await startWhatsappServer();
const tell = (answer: Answer): void => void process.send?.(answer);
async function answer(ask: Ask): Promise<Counts | undefined> {
  if (ask.kind === 'scan') await server.scan(ask.phone, ask.qr);
  else if (ask.kind === 'say') await server.say(ask.from, ask.to, ask.text);
  else return counts(server, ask.phones, ask.peers);
  return undefined;
}
process.on('message', ({ number, ask }: Question) => {
  answer(ask).then(
    (result) => tell({ number, result }),
    (error: unknown) => tell({ number, problem: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => process.exit());
tell({ url: server.url });
