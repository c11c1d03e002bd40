import { describe, expect, it } from 'vitest';
import { FRIEND, outbound, PHONE, until, useWire, type Watched } from './wire.testing.ts';

/** A server that goes deaf in each way while the socket stays open, real Baileys on the wire (liveness.ts). */
const wire = useWire();
const FAR = 3_600_000;
const SLOW = { silenceMs: FAR, ackMs: FAR, canaryMs: 0, canaryAnswerMs: FAR, inboundMs: 0, inboundPeople: 3 };
const said = (watched: Watched, state: string): Promise<void> => until(state, () => watched.states.includes(state));
const companion = () => {
  const [found] = wire.server.online();
  if (found === undefined) throw new Error('nobody is online');
  return found;
};
const worksAgain = (watched: Watched): Promise<void> =>
  until('a message to be sent', async () => (await watched.connection.send(outbound('heard again'), 25_000)).kind === 'sent');
/** the test's own transport takes the place of the one that each test gets */
async function withLiveness(liveness: Partial<typeof SLOW>): Promise<void> {
  await wire.transport.close();
  wire.transport = wire.newTransport({ liveness: { ...SLOW, ...liveness } });
}

describe('a socket that is open and dead', () => {
  it('V1: frames are swallowed: SILENT, and a new socket that works', async () => {
    await withLiveness({ silenceMs: 3000 });
    const watched = await wire.paired();
    // on a machine that stands still for seconds Baileys' own pings may find it first: then once more
    while (!watched.states.includes('OFFLINE SILENT')) {
      const before = watched.states.length;
      companion().frozen = true;
      await until('OFFLINE', () => watched.states.slice(before).some((state) => state.startsWith('OFFLINE')));
      await wire.online(watched);
    }
    await worksAgain(watched);
    expect(wire.logged.some((text) => text.includes('whatsapp.zombie') && text.includes('SILENT'))).toBe(true);
  });

  it('V2: pings are answered and acks withheld: NO_ACKS; the message was carried once and its receipt is proof', async () => {
    await withLiveness({ ackMs: 1500 });
    const watched = await wire.paired();
    expect(await watched.connection.send(outbound('first'), 25_000)).toMatchObject({ kind: 'sent' });
    const { manners } = wire.server;
    const before = manners.answer;
    manners.answer = () => ({ kind: 'lost-ack' });
    wire.server.account(FRIEND).manner = 'silent';
    const message = outbound('no ack');
    expect(await watched.connection.send(message, 1000)).toEqual({ kind: 'unknown', code: 'NO_ACK' });
    await said(watched, 'OFFLINE NO_ACKS');
    manners.answer = before;
    await wire.online(watched);
    expect(await watched.connection.send(outbound('last'), 25_000)).toMatchObject({ kind: 'sent' });
    const arrived = wire.server.account(FRIEND).arrived;
    expect(arrived.map(({ text }) => text)).toEqual(['first', 'no ack', 'last']);
    wire.server.receipt(companion(), FRIEND, [arrived[1]?.id ?? ''], 'delivered');
    await until('the receipt', () => watched.receipts.includes(`${message.id} DELIVERED`));
  });

  it('V3: pings are answered and nothing else is: the canary finds it', async () => {
    await withLiveness({ canaryMs: 500, canaryAnswerMs: 2500 });
    const watched = await wire.paired(PHONE);
    wire.server.manners.deafTo.add('encrypt');
    await said(watched, 'OFFLINE CANARY_UNANSWERED');
    wire.server.manners.deafTo.clear();
    await worksAgain(watched);
  });

  it('V3: a canary that is answered changes nothing', async () => {
    await withLiveness({ canaryMs: 500 });
    const watched = await wire.paired();
    const { seen } = wire.server;
    const [canaries, logins] = [seen.canaries, seen.logins];
    await until('canaries', () => seen.canaries >= canaries + 4);
    expect(watched.states.some((state) => state.startsWith('OFFLINE'))).toBe(false);
    expect(seen.logins).toBe(logins);
  });

  it('V5: sends are acknowledged, and what WhatsApp sends by itself does not come: NOTHING_INBOUND; then it comes', async () => {
    await withLiveness({ inboundMs: 1000 });
    const watched = await wire.paired(PHONE);
    await wire.server.say(FRIEND, PHONE, 'before');
    await until('a message', () => watched.inbound.length === 1);
    companion().mute = true;
    const people = [FRIEND, '+491700000003', '+491700000004'];
    for (const to of people) expect(await watched.connection.send(outbound('hello', to), 25_000)).toMatchObject({ kind: 'sent' });
    await wire.server.say(FRIEND, PHONE, 'is anybody there?');
    await said(watched, 'OFFLINE NOTHING_INBOUND');
    await wire.online(watched);
    await until('what was kept', () => watched.inbound.includes(`${FRIEND} is anybody there?`));
    await until('the receipts', () => new Set(watched.receipts.filter((text) => text.endsWith('DELIVERED'))).size === people.length);
    expect(wire.logged.some((text) => text.includes('whatsapp.zombie') && text.includes('NOTHING_INBOUND'))).toBe(true);
  });
});
