import { proto } from '@whiskeysockets/baileys';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { storeInbound } from '../../../schema/sql/index.ts';
import type { TransportDevice, TransportEvents } from '../port.ts';
import { FRIEND, PHONE, until, useWire, type Watched } from './wire.testing.ts';

/**
 * Messages were lost: when Postgres was away for a minute, those that came meanwhile had WhatsApp's receipt already (or a refusal, where the session could not be written
 * either), so WhatsApp forgot them; eight tries to store one, and it was gone.
 */
const wire = useWire();
type Message = Parameters<TransportEvents['inbound']>[0];

const intoTheLedger = async ({ id: deviceId, tenantId }: TransportDevice, { id, from, fromLid, body, at }: Message): Promise<void> => {
  await storeInbound(wire.database.sql, [{ deviceId, id, tenantId, sender: from, senderLid: fromLid, body, receivedAt: at }]);
};
const storedOf = async ({ device }: Watched): Promise<string[]> => {
  const rows = await wire.database.sql<{ body: string }[]>`select body from inbound_messages where device_id = ${device.id}`;
  return rows.map(({ body }) => body).sort();
};
const companion = () => {
  const [found] = wire.server.online();
  if (found === undefined) throw new Error('nobody is online');
  return found;
};
const say = (text: string): Promise<string> => wire.server.say(FRIEND, PHONE, text);
const askedAgain = (): number => wire.server.account(PHONE).receiptsSent.filter(({ type }) => type === 'retry').length;
/** paired, and WhatsApp has an answer for all that it sent */
async function settled(): Promise<Watched> {
  const watched = await wire.paired();
  await say('before');
  await until('the first', () => watched.inbound.length === 1);
  await until('its receipt', () => companion().pending.size === 0);
  return watched;
}
/** Postgres refuses what is to be written of a message: its session, or that and itself */
const SESSION = ['session_keys'];
const BOTH = ['session_keys', 'inbound_messages'];
async function refuse(tables: readonly string[], away: boolean): Promise<void> {
  for (const table of tables) {
    await wire.database.sql.unsafe(`alter table ${away ? table : `${table}_away`} rename to ${away ? `${table}_away` : table}`);
  }
}

describe('an inbound message', () => {
  beforeEach(() => {
    wire.store = intoTheLedger;
  });

  it('waits at WhatsApp while Postgres refuses it, for as long as that takes, and is stored then (A1, B1, P1)', async () => {
    const watched = await settled();
    await refuse(BOTH, true);
    try {
      for (const text of ['one', 'two', 'three']) await say(text);
      // longer than Baileys tries by itself, then it refuses the message
      await systemClock.sleep(5000);
      expect(companion().pending.size).toBe(3);
    } finally {
      await refuse(BOTH, false);
    }
    await until('all of them', () => watched.inbound.length === 4);
    expect(watched.inbound).toEqual(['before', 'one', 'two', 'three'].map((text) => `${FRIEND} ${text}`));
    await until('their receipts', () => companion().pending.size === 0);
    expect(await storedOf(watched)).toEqual(['before', 'one', 'three', 'two']);
    expect(askedAgain()).toBe(0);
    expect(watched.states.at(-1)).toBe('ONLINE');
  });

  it('whose session cannot be written is not answered either (P1)', async () => {
    const watched = await settled();
    await refuse(SESSION, true);
    try {
      await say('one');
      await systemClock.sleep(5000);
      expect(companion().pending.size).toBe(1);
    } finally {
      await refuse(SESSION, false);
    }
    await until('its receipt', () => companion().pending.size === 0);
    expect(await storedOf(watched)).toEqual(['before', 'one']);
    expect(askedAgain()).toBe(0);
  });

  it('whose owner died before it was stored is delivered to the next one, who can read it (A1, T5)', async () => {
    let alive = true;
    let handedOn = 0;
    const first = await wire.paired(PHONE, { canAct: () => alive });
    wire.store = (device, message) => {
      if (device.epoch === 2) return intoTheLedger(device, message);
      handedOn += 1;
      return new Promise(() => {});
    };
    await say('remember me');
    await until('it to be handed on', () => handedOn === 1);
    alive = false;
    await wire.database.sql`update ownership set epoch = 2 where device_id = ${first.device.id}`;
    const before = wire.transport;
    wire.transport = wire.newTransport();
    try {
      const second = wire.connect({ ...first.device, epoch: 2, canAct: () => true });
      await until('it', () => second.inbound.length === 1);
      await until('its receipt', () => companion().pending.size === 0);
      expect(await storedOf(second)).toEqual(['remember me']);
      expect(askedAgain()).toBe(0);
    } finally {
      await before.close();
    }
  });

  it('that finds another owner is not answered, and the socket is let go of (P2)', async () => {
    const first = await settled();
    await wire.database.sql`update ownership set epoch = 2 where device_id = ${first.device.id}`;
    const { pending } = companion();
    await say('for the next one');
    await until('the end', () => first.states.at(-1) === 'OFFLINE SESSION_FENCED');
    await until('nobody online', () => wire.server.online().length === 0);
    expect(pending.size).toBe(1);
    const before = wire.transport;
    wire.transport = wire.newTransport();
    try {
      const second = wire.connect({ ...first.device, epoch: 2 });
      await until('it', () => second.inbound.includes(`${FRIEND} for the next one`));
      await until('its receipt', () => pending.size === 0);
      expect(await storedOf(second)).toEqual(['before', 'for the next one']);
      expect(askedAgain()).toBe(0);
    } finally {
      await before.close();
    }
  });

  it('holds up so many others and no more: the device says INBOUND_UNSTORED until it is stored, then all of them come (C9)', async () => {
    await wire.transport.close();
    wire.transport = wire.newTransport({ mostBehind: 3 });
    const watched = await settled();
    let letIn = (): void => {};
    const open = new Promise<void>((resolve) => {
      letIn = resolve;
    });
    wire.store = async (device, message) => {
      await open;
      await intoTheLedger(device, message);
    };
    const texts = ['before'];
    while (watched.states.at(-1) !== 'OFFLINE INBOUND_UNSTORED') {
      texts.push(`number ${texts.length}`);
      await say(texts.at(-1) ?? '');
      await systemClock.sleep(200);
    }
    await until('nobody online', () => wire.server.online().length === 0);
    const { logins } = wire.server.seen;
    await systemClock.sleep(1500);
    expect(wire.server.seen.logins).toBe(logins);
    expect(watched.states.at(-1)).toBe('OFFLINE INBOUND_UNSTORED');
    letIn();
    await wire.online(watched);
    await until('all of them', async () => (await storedOf(watched)).length === texts.length);
    await until('their receipts', () => companion().pending.size === 0);
    expect([...new Set(watched.inbound)]).toEqual(texts.map((text) => `${FRIEND} ${text}`));
    expect(await storedOf(watched)).toEqual([...texts].sort());
    expect(askedAgain()).toBe(0);
  });

  it('that the phone sends in place of one that could not be read is stored before its receipt as well (A3)', async () => {
    const watched = await settled();
    let letIn = (): void => {};
    let handedOn = 0;
    const open = new Promise<void>((resolve) => {
      letIn = resolve;
    });
    wire.store = async (device, message) => {
      handedOn += 1;
      await open;
      await intoTheLedger(device, message);
    };
    const lost = proto.WebMessageInfo.encode({
      key: { remoteJid: `${FRIEND.slice(1)}@s.whatsapp.net`, fromMe: false, id: 'LOST' },
      message: { conversation: 'once more' },
      messageTimestamp: 1_700_000_000,
    }).finish();
    await wire.server.deliver(PHONE, PHONE, {
      protocolMessage: {
        type: proto.Message.ProtocolMessage.Type.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE,
        peerDataOperationRequestResponseMessage: {
          peerDataOperationResult: [{ placeholderMessageResendResponse: { webMessageInfoBytes: lost } }],
        },
      },
    });
    await until('it to be handed on', () => handedOn === 1);
    // a receipt would be there by now
    await systemClock.sleep(500);
    expect(companion().pending.size).toBe(1);
    letIn();
    await until('its receipt', () => companion().pending.size === 0);
    expect(await storedOf(watched)).toEqual(['before', 'once more']);
  });

  it('that the ledger refuses for what is in it holds up nothing; a zero character is left out (B3)', async () => {
    const watched = await settled();
    wire.store = async (device, message) => {
      if (message.body === 'poison') throw Object.assign(new Error('bad data'), { code: '22P05' });
      await intoTheLedger(device, message);
    };
    for (const text of ['poison', 'a\0b', 'after']) await say(text);
    await until('the rest', () => watched.inbound.length === 3);
    expect(await storedOf(watched)).toEqual(['ab', 'after', 'before']);
    await until('their receipts', () => companion().pending.size === 0);
    expect(wire.logged.some((text) => text.includes('whatsapp.inbound.refused'))).toBe(true);
  });
});
