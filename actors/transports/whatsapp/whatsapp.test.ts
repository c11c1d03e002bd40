import { describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../../ops/lifecycle/index.ts';
import { uuidV7, whatsappIdOf } from '../../../schema/domain/index.ts';
import { type TransportPeer, transportConformance } from '../conformance.ts';
import type { Connection, OutboundMessage, Transport, TransportDevice } from '../port.ts';
import { createFakeLibrary, type FakeLibrary, type FakeLine } from './testing/fake-line.ts';
import { createFakeStore, type FakeStore } from './testing/fake-store.ts';
import { createWhatsappTransport } from './transport.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const TIMING = {
  backoffBaseMs: 10,
  backoffCapMs: 20,
  stableMs: 80,
  conflictMs: 20,
  conflictWindowMs: 5000,
  conflictPauseMs: 3000,
  reachOutMs: 60_000,
  newChatsMs: 60_000,
  endMs: 100,
};
const JID = '14155550111:7@s.whatsapp.net';

interface World {
  readonly transport: Transport;
  readonly library: FakeLibrary;
  readonly store: FakeStore;
  readonly published: { readonly kind: string }[];
  /** devices that ask to be paired */
  readonly requests: Set<string>;
  /** numbers that know the devices */
  readonly warm: Set<string>;
  readonly quarantined: Set<string>;
  /** what was written down of the account */
  readonly kept: (readonly unknown[])[];
}
function createWorld(onOpen: (line: FakeLine) => void = () => {}): World {
  const library = createFakeLibrary(onOpen);
  const store = createFakeStore();
  const published: { kind: string }[] = [];
  const requests = new Set<string>();
  const warm = new Set<string>();
  const quarantined = new Set<string>();
  const kept: (readonly unknown[])[] = [];
  const sql = {
    unsafe: async (text: string, [ids, to, ...more]: unknown[]) => {
      if (text.includes("'coldUntil', $3")) kept.push(['paused', ...more]);
      if (text.includes("- 'coldUntil'")) kept.push(['resumed']);
      if (text.includes('$3::text::jsonb')) kept.push(['held', (JSON.parse(String(more[0])) as { heldUntil?: number }).heldUntil]);
      if (text.includes('as warm')) return warm.has(String(to)) ? [{ warm: 1 }] : [];
      if (text.includes('set quarantined')) quarantined.add(String(ids));
      if (text.includes('not quarantined')) return (ids as string[]).filter((id) => !quarantined.has(id)).map((id) => ({ id }));
      if (!text.includes("settings - 'pairing'")) return [];
      const found = (ids as string[]).filter((id) => requests.delete(id));
      return found.map((id) => ({ id, request: { requestedAt: 1 } }));
    },
  };
  const redis = {
    publish: async (_channel: unknown, text: unknown) => published.push((JSON.parse(String(text)) as { event: { kind: string } }).event),
    set: async () => 'OK',
  };
  const transport = createWhatsappTransport(
    {
      sql: sql as never,
      redis: redis as never,
      sessions: store,
      clock: systemClock,
      dice: seededDice(1),
      telemetry: { log: quiet },
      config: { WHATSAPP_URL: 'ws://127.0.0.1:9', WHATSAPP_FORBID_REAL: true, LEASE_TTL_MS: 6000 },
      library: async () => library,
    },
    { timing: TIMING, gate: { devices: 3, probeMs: 100 } },
  );
  return { transport, library, store, published, requests, warm, quarantined, kept };
}

const outbound = (): OutboundMessage => ({ id: uuidV7(systemClock.wall()), attempt: 1, to: '+14155550100', body: 'hello' });
async function until(what: string, check: () => boolean): Promise<void> {
  const end = systemClock.monotonic() + 30_000;
  while (!check()) {
    if (systemClock.monotonic() > end) throw new Error(`waited too long for: ${what}`);
    await systemClock.sleep(2);
  }
}
function connect(world: World, given: Partial<TransportDevice> = {}) {
  const id = uuidV7(systemClock.wall());
  const device: TransportDevice = { id, tenantId: id, epoch: 1, node: 'n', phone: null, settings: {}, canAct: () => true, ...given };
  const states: string[] = [];
  const receipts: string[] = [];
  const open = (paired: boolean): Connection => {
    if (paired) world.store.saved.set(id, JSON.stringify({ me: { id: JID } }));
    return world.transport.connect(
      device,
      {
        state: ({ state, reason }) => void states.push(reason === null ? state : `${state} ${reason}`),
        receipt: ({ state }) => void receipts.push(state),
        inbound: () => Promise.resolve(),
      },
      new AbortController().signal,
    );
  };
  return { id, device, states, receipts, open };
}
/** while WhatsApp is being asked what a 463 means, strangers wait */
async function sendOnceAsked(connection: Connection, to = '+14155550100') {
  for (;;) {
    const outcome = await connection.send({ ...outbound(), to }, 5000);
    if (outcome.kind !== 'rejected' || outcome.code !== 'COLD_PAUSED') return outcome;
    await systemClock.sleep(2);
  }
}
const opens = (line: FakeLine): void => line.events.opened(JID);

describe('a connection over its sockets', () => {
  it('opens one socket at a time and ignores a discarded one (C1, C2)', async () => {
    const world = createWorld(opens);
    const { states, receipts, open } = connect(world);
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const first = world.library.latest();
    first.events.closed(428);
    await until('ONLINE again', () => states.length === 5 || states.at(-1) === 'ONLINE');
    await until('the second', () => world.library.lines.length === 2 && states.at(-1) === 'ONLINE');
    const before = [...states];
    first.events.closed(401);
    first.events.qr('late', 1);
    first.events.receipt(whatsappIdOf('x'), 'READ');
    await systemClock.sleep(20);
    expect(states).toEqual(before);
    expect(receipts).toEqual([]);
    expect(world.library.lines.length).toBe(2);
    expect(states).toEqual(['CONNECTING', 'ONLINE', 'OFFLINE CONNECTION_CLOSED', 'CONNECTING', 'ONLINE']);
  });

  it('saves what changed before the next socket, and waits while it cannot (C3)', async () => {
    const world = createWorld(opens);
    const { id, states, open } = connect(world);
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    line.options.creds['nextPreKeyId'] = 42;
    line.events.credsChanged();
    world.store.failFlush = true;
    line.events.closed(515);
    await until('the reason', () => states.at(-1) === 'OFFLINE SESSION_STORE_UNAVAILABLE');
    await systemClock.sleep(60);
    expect(world.library.lines.length).toBe(1);
    world.store.failFlush = false;
    await until('the second socket', () => world.library.lines.length === 2);
    expect(JSON.parse(world.store.saved.get(id) ?? '')).toMatchObject({ nextPreKeyId: 42 });
  });

  it('stops when another owner wrote the session', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    world.store.fenced = true;
    world.library.latest().events.closed(428);
    await until('the reason', () => states.at(-1) === 'OFFLINE SESSION_FENCED');
    await systemClock.sleep(60);
    expect(world.library.lines.length).toBe(1);
  });

  it('a close ends the socket and saves, and does not wait for a dead peer for ever (C3, C4)', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    world.store.log.length = 0;
    await connection.close();
    await connection.close();
    expect(world.library.latest().ended).toBe(true);
    expect(world.store.log).toEqual(['flush']);
  });

  it('401 erases the session and waits for a new pairing', async () => {
    const world = createWorld(opens);
    const { id, states, open } = connect(world);
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    world.library.latest().events.closed(401);
    await until('LOGGED_OUT', () => states.at(-1) === 'LOGGED_OUT LOGGED_OUT');
    expect(world.store.saved.has(id)).toBe(false);
    await systemClock.sleep(60);
    expect(world.library.lines.length).toBe(1);
  });

  it('403 keeps the session and stops', async () => {
    const world = createWorld(opens);
    const { id, states, open } = connect(world);
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    world.library.latest().events.closed(403);
    await until('the reason', () => states.at(-1) === 'OFFLINE ACCOUNT_BLOCKED');
    await systemClock.sleep(60);
    expect(world.store.saved.has(id)).toBe(true);
    expect(world.library.lines.length).toBe(1);
  });

  it('500 again and again ends after five tries, although each opened for a moment (C5)', async () => {
    const world = createWorld((line) => {
      line.events.opened(JID);
      line.events.closed(500);
    });
    const { states, open } = connect(world);
    open(true);
    await until('six sockets', () => world.library.lines.length === 6);
    await until('the reason', () => states.at(-1) === 'OFFLINE BAD_SESSION');
    await systemClock.sleep(100);
    expect(world.library.lines.length).toBe(6);
    await until('quarantine', () => world.quarantined.size === 1);
    // an operator lets it go: it starts afresh
    world.quarantined.clear();
    await until('a seventh', () => world.library.lines.length > 6);
  });

  it('440 yields to a newer owner', async () => {
    const world = createWorld(opens);
    let mine = true;
    const { states, open } = connect(world, { canAct: () => mine });
    open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    mine = false;
    world.library.latest().events.closed(440);
    await until('the reason', () => states.at(-1) === 'OFFLINE REPLACED');
    await systemClock.sleep(80);
    expect(world.library.lines.length).toBe(1);
  });

  it('440 of our own device is taken back, and paused after five', async () => {
    const world = createWorld((line) => {
      line.events.opened(JID);
      line.events.closed(440);
    });
    const { open } = connect(world);
    open(true);
    await until('five sockets', () => world.library.lines.length === 5);
    await systemClock.sleep(150);
    expect(world.library.lines.length).toBe(5);
    await until('the sixth', () => world.library.lines.length === 6);
  });
});

describe('refused alike (405, 503)', () => {
  it('one device tries at a time, until one comes through; then all are back (F1, F2)', async () => {
    let refuse = true;
    const world = createWorld((line) => (refuse ? line.events.closed(503) : line.events.opened(JID)));
    const devices = Array.from({ length: 6 }, () => connect(world));
    for (const { open } of devices) open(true);
    await until('all refused once', () => devices.every(({ states }) => states.some((state) => state.startsWith('OFFLINE'))));
    await systemClock.sleep(60);
    const before = world.library.lines.length;
    const began = systemClock.monotonic();
    await systemClock.sleep(350);
    // 100 ms a probe: without the breaker each of the six tries every 20 ms
    expect(world.library.lines.length - before).toBeLessThanOrEqual((systemClock.monotonic() - began) / 100 + 2);
    refuse = false;
    await until('all online', () => devices.every(({ states }) => states.at(-1) === 'ONLINE'));
  });
});

describe('463', () => {
  it('strangers are not written to while WhatsApp forbids it, those who know the device are; then all again (R1, R2)', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    const { answer } = line;
    line.reachOut = async () => ({ locked: true, until: systemClock.wall() + 60_000 });
    line.answer = ({ wireId }) => line.events.acknowledged(wireId, '463');
    expect(await connection.send(outbound(), 5000)).toMatchObject({ kind: 'rejected', retry: false, code: 'WHATSAPP_463' });
    await until('the lock', () => states.at(-1) === 'ONLINE REACHOUT_LOCKED');
    line.answer = answer;
    expect(await connection.send(outbound(), 5000)).toMatchObject({ kind: 'rejected', retry: true, code: 'COLD_PAUSED' });
    expect(line.sent).toHaveLength(1);
    world.warm.add('+14155550100');
    expect((await connection.send(outbound(), 5000)).kind).toBe('sent');
    world.warm.clear();
    line.events.reachOut({ locked: false, until: null });
    await until('the end of it', () => states.at(-1) === 'ONLINE');
    expect((await connection.send(outbound(), 5000)).kind).toBe('sent');
  });

  it('one refusal by itself locks nothing: it was about that recipient', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    const { answer } = line;
    line.answer = ({ wireId }) => line.events.acknowledged(wireId, '463');
    expect((await connection.send(outbound(), 5000)).kind).toBe('rejected');
    line.answer = answer;
    expect((await sendOnceAsked(connection)).kind).toBe('sent');
    expect(states.at(-1)).toBe('ONLINE');
  });
});

describe('an account that is told to slow down', () => {
  const connected = async (settings: TransportDevice['settings'] = {}) => {
    const world = createWorld(opens);
    const { states, open } = connect(world, { settings });
    const connection = open(true);
    await until('ONLINE', () => states.some((state) => state.startsWith('ONLINE')));
    return { ...world, states, connection, line: world.library.latest() };
  };

  it('two strangers refused within an hour pause new chats, although WhatsApp names no lock (R3)', async () => {
    const { states, connection, line } = await connected();
    line.answer = ({ wireId }) => line.events.acknowledged(wireId, '463');
    expect(await connection.send(outbound(), 5000)).toMatchObject({ code: 'WHATSAPP_463' });
    expect(await sendOnceAsked(connection, '+14155550177')).toMatchObject({ code: 'WHATSAPP_463' });
    await until('the pause', () => states.at(-1) === 'ONLINE REACHOUT_LOCKED');
    expect(await connection.send({ ...outbound(), to: '+14155550178' }, 5000)).toMatchObject({ code: 'COLD_PAUSED' });
    expect(line.sent).toHaveLength(2);
  });

  it('a next owner goes on with the pause and ends it at its end (R2, R4)', async () => {
    const coldUntil = systemClock.wall() + 5000;
    const { states, connection, line, kept } = await connected({ standing: { coldUntil, coldWhy: 'NEW_CHAT_CAP' } });
    expect(states.at(-1)).toBe('ONLINE NEW_CHAT_CAP');
    expect(await connection.send(outbound(), 5000)).toMatchObject({ code: 'COLD_PAUSED' });
    expect(line.sent).toEqual([]);
    await until('the end', () => states.at(-1) === 'ONLINE');
    await until('it is written down', () => kept.at(-1)?.[0] === 'resumed');
    expect((await connection.send(outbound(), 5000)).kind).toBe('sent');
  });

  it('a cap that is reached pauses new chats until the cycle ends, or WhatsApp says that there are some again', async () => {
    const { states, line, kept } = await connected();
    const endsAt = systemClock.wall() + 600_000;
    line.events.newChats({ used: 1000, total: 1000, endsAt, capped: true });
    await until('the pause', () => states.at(-1) === 'ONLINE NEW_CHAT_CAP');
    expect(kept.filter(([what]) => what === 'paused')).toEqual([['paused', endsAt, 'NEW_CHAT_CAP']]);
    // a word about the other reason does not end it
    line.events.reachOut({ locked: false, until: null });
    expect(states.at(-1)).toBe('ONLINE NEW_CHAT_CAP');
    line.events.newChats({ used: 0, total: 1000, endsAt: null, capped: false });
    await until('the end', () => states.at(-1) === 'ONLINE');
  });

  it('429 of a message or of the connection holds everything for a quarter of an hour, written down', async () => {
    const { connection, line, kept } = await connected();
    line.answer = ({ wireId }) => line.events.acknowledged(wireId, '429');
    const before = systemClock.wall();
    expect(await connection.send(outbound(), 5000)).toMatchObject({ code: 'WHATSAPP_429', retryAfterMs: 900_000 });
    line.events.closed(429);
    await until('both', () => kept.length === 2);
    for (const [what, until] of kept) expect([what, Number(until) >= before + 899_000]).toEqual(['held', true]);
  });

  it('479: the list of the recipient’s devices is asked for again', async () => {
    const { connection, line } = await connected();
    const { recipientDevices } = line.options;
    recipientDevices.set('14155550100', ['old']);
    line.answer = ({ wireId }) => line.events.acknowledged(wireId, '479');
    expect(await connection.send(outbound(), 5000)).toMatchObject({ code: 'WHATSAPP_479', retry: true });
    expect(recipientDevices.get('14155550100')).toBeUndefined();
  });
});

describe('sends', () => {
  it('an attempt that is still being prepared when its time is up never leaves', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    line.prepare = () => systemClock.sleep(60);
    expect(await connection.send(outbound(), 20)).toEqual({ kind: 'not-sent', code: 'OFFLINE' });
    await systemClock.sleep(80);
    expect(line.sent).toEqual([]);
  });

  it('a rejected write is unknown, unless its ack comes', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    line.failAfterWrite = true;
    expect(await connection.send(outbound(), 1000)).toEqual({ kind: 'unknown', code: 'NO_ACK' });
    const message = outbound();
    const waiting = connection.send(message, 30_000);
    await until('the write', () => line.sent.length === 2);
    line.events.acknowledged(whatsappIdOf(message.id), null);
    expect((await waiting).kind).toBe('sent');
  });

  it('a socket that goes leaves what was written unknown', async () => {
    const world = createWorld(opens);
    const { states, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    line.answer = () => {};
    const waiting = connection.send(outbound(), 30_000);
    await until('the write', () => line.sent.length === 1);
    line.events.closed(428);
    expect(await waiting).toEqual({ kind: 'unknown', code: 'CONNECTION_LOST' });
  });

  it('a late ack of an unknown attempt counts as proof', async () => {
    const world = createWorld(opens);
    const { states, receipts, open } = connect(world);
    const connection = open(true);
    await until('ONLINE', () => states.at(-1) === 'ONLINE');
    const line = world.library.latest();
    line.answer = () => {};
    const message = outbound();
    expect((await connection.send(message, 1000)).kind).toBe('unknown');
    line.events.acknowledged(whatsappIdOf(message.id), null);
    await until('the proof', () => receipts.includes('SENT'));
    expect(receipts).toEqual(['WRITTEN', 'SENT']);
  });
});

describe('pairing', () => {
  it('shows codes, stores nothing before the phone accepts, then restarts at once and is ONLINE (C6, C7)', async () => {
    const world = createWorld();
    const { id, states, open } = connect(world);
    open(false);
    await until('UNPAIRED', () => states.at(-1) === 'UNPAIRED');
    world.requests.add(id);
    await until('a socket', () => world.library.lines.length === 1);
    const first = world.library.latest();
    first.events.qr('code-1', 60_000);
    first.events.credsChanged();
    first.events.qr('code-2', 20_000);
    expect(world.store.saved.size).toBe(0);
    first.options.creds['me'] = { id: JID };
    first.events.linked(JID);
    first.events.closed(515);
    await until('the restart', () => world.library.lines.length === 2);
    expect(JSON.parse(world.store.saved.get(id) ?? '{}')).toMatchObject({ me: { id: JID } });
    world.library.latest().events.opened(JID);
    await until('PAIRED', () => world.published.some((event) => event.kind === 'end'));
    expect(world.published).toEqual([
      { kind: 'started' },
      { kind: 'qr', text: 'code-1', lifeMs: 60_000, number: 1, most: 6 },
      { kind: 'qr', text: 'code-2', lifeMs: 20_000, number: 2, most: 6 },
      { kind: 'linking' },
      { kind: 'end', outcome: 'PAIRED' },
    ]);
    expect(states).toEqual([
      'UNPAIRED',
      'PAIRING CONNECTING',
      'PAIRING SCAN_QR',
      'PAIRING SCAN_QR',
      'PAIRING RESTARTING',
      'CONNECTING RESTART_REQUIRED',
      'ONLINE',
    ]);
  });

  it('expires, and starts again only when asked again', async () => {
    const world = createWorld();
    const { id, states, open } = connect(world);
    open(false);
    world.requests.add(id);
    await until('a socket', () => world.library.lines.length === 1);
    world.library.latest().events.qr('code', 20_000);
    world.library.latest().events.closed(408);
    await until('the end', () => states.at(-1) === 'UNPAIRED PAIRING_EXPIRED');
    expect(world.published.at(-1)).toEqual({ kind: 'end', outcome: 'PAIRING_EXPIRED' });
    expect(world.library.lines.length).toBe(1);
    world.requests.add(id);
    await until('a new socket', () => world.library.lines.length === 2);
  });

  it('that cannot start is said so, and can be asked for again', async () => {
    const world = createWorld();
    const { id, states, open } = connect(world);
    world.store.fenced = true;
    open(false);
    world.requests.add(id);
    await until('the end', () => states.at(-1) === 'UNPAIRED SESSION_FENCED');
    expect(world.published.at(-1)).toEqual({ kind: 'end', outcome: 'SESSION_FENCED' });
    world.store.fenced = false;
    world.requests.add(id);
    await until('a socket', () => world.library.lines.length === 1);
  });

  it("refuses another phone than the device's", async () => {
    const world = createWorld();
    const { id, states, open } = connect(world, { phone: '+4917012345678' });
    open(false);
    world.requests.add(id);
    await until('a socket', () => world.library.lines.length === 1);
    world.library.latest().events.linked(JID);
    await until('the end', () => states.at(-1) === 'UNPAIRED WRONG_NUMBER');
    expect(world.store.saved.size).toBe(0);
    expect(world.library.latest().ended).toBe(true);
    expect(world.published.at(-1)).toEqual({ kind: 'end', outcome: 'WRONG_NUMBER' });
  });
});

const startPeer = async (): Promise<TransportPeer> => {
  const world = createWorld((line) => {
    line.events.opened(JID);
    line.answer = answer;
  });
  const next: ('refuse' | 'mute')[] = [];
  const arrived: string[] = [];
  function answer({ wireId }: { wireId: string }): void {
    arrived.push(wireId);
    const fault = next.shift();
    const { events } = world.library.latest();
    if (fault === 'refuse') events.acknowledged(wireId, '400');
    if (fault !== undefined) return;
    events.acknowledged(wireId, null);
    events.receipt(wireId, 'DELIVERED');
    events.receipt(wireId, 'READ');
  }
  let heldBack = 0;
  return {
    transport: world.transport,
    arrivals: async (messageId) => arrived.filter((id) => id === whatsappIdOf(messageId)).length,
    refuseNext: async () => void next.push('refuse'),
    muteNext: async () => void next.push('mute'),
    drop: async () => world.library.latest().events.closed(428),
    restore: async () => {},
    say: async (_deviceId, from, body) =>
      world.library.latest().events.inbound({ id: `in-${heldBack++}`, from, fromLid: null, body, at: systemClock.wall() }),
    prepare: async (deviceId) => void world.store.saved.set(deviceId, JSON.stringify({ me: { id: JID } })),
    close: async () => {},
  };
};

transportConformance('whatsapp (on a played socket)', startPeer, { inbound: true });
