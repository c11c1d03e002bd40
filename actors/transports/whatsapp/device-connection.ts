import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';
import type { Log } from '../../../ops/telemetry/index.ts';
import { FlotillaError, type PairingRequest } from '../../../schema/domain/index.ts';
import type { DeviceSession, SessionStore } from '../../sessions/index.ts';
import type { Connection, LinkState, TransportDevice, TransportEvents } from '../port.ts';
import { type AccountTiming, createAccount } from './account.ts';
import type { ConnectTurns, EndTurn } from './connect-turn.ts';
import type { Contents } from './contents.ts';
import { type DisconnectRow, disconnectFor } from './disconnects.ts';
import type { Identities } from './identities.ts';
import { createInbox } from './inbox.ts';
import { phoneOf } from './jid.ts';
import type { InboundText, Line, LineEvents, LineFactory, LineOptions } from './line-port.ts';
import { createNumberCheck, type NumberCheckOptions } from './number-check.ts';
import { createOutgoing } from './outgoing.ts';
import type { PairingDesk } from './pairing-desk.ts';
import type { Quarantine } from './quarantine.ts';
import { createRedial, type Timing } from './redial.ts';
import { createSends } from './sends.ts';
import type { Standing } from './standing.ts';
import type { WireIds } from './wire-ids.ts';

/**
 * One device's connection over all its sockets.
 * Owns: the present socket, its generation, the reconnect timer, the credentials while they change. Does not own: the session's rows
 * (actors/sessions), what a disconnect means (disconnects.ts), who owns the device (canAct). Called by transport.ts.
 *
 * C1. At most one socket exists; the next is opened only after the last one said that it closed.
 * C2. Each socket has a generation; events of any but the present one are ignored.
 * C3. The session is flushed before the next socket and before `close` resolves.
 * C4. A close never logs out: that would unlink the phone.
 * C5. Failures are forgotten only after the connection was open for `stableMs`, not by opening.
 * C6. Without a stored session and without a request to pair there is no socket.
 * C7. Nothing is stored of a pairing before the phone has accepted it.
 */
export interface ConnectionDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly log: Log;
  readonly sessions: SessionStore;
  readonly wireIds: WireIds;
  readonly desk: PairingDesk;
  readonly turns: ConnectTurns;
  readonly standing: Standing;
  readonly quarantine: Quarantine;
  readonly contents: Contents;
  readonly identities: Identities;
  readonly numbers: NumberCheckOptions;
  /** erases a session that was unlinked through the API; true when there was one */
  eraseUnlinked(device: TransportDevice, opened: DeviceSession): Promise<boolean>;
  readonly library: () => Promise<LineFactory>;
  /** what every socket of the node has in common */
  readonly line: Pick<LineOptions, 'server' | 'version' | 'keyWriteTries' | 'retryCounts' | 'recipientDevices' | 'qrLifeMs'>;
  /** QR codes shown before a pairing is over */
  readonly mostCodes: number;
  readonly timing: Timing & AccountTiming;
}

/** as long as the server keeps a pairing open: the first QR code's 60 s and five of 20 s */
const CODE_LIFE_MS = 160_000;

export function createDeviceConnection(
  deps: ConnectionDeps,
  device: TransportDevice,
  events: TransportEvents,
  signal: AbortSignal,
): Connection {
  const { clock, log, desk } = deps;
  let over = false;
  let generation = 0;
  let line: Line | undefined;
  let online = false;
  let linked = false;
  /** the pairing under way, and how many QR codes came in it */
  let asked: PairingRequest | undefined;
  let codes = 0;
  let session: DeviceSession | undefined;
  let creds: Record<string, unknown> = {};
  let unwatch = (): void => {};
  let endTurn: EndTurn = () => {};
  let ended: Promise<void> | undefined;

  const say = (state: LinkState, reason: string | null): void => {
    if (!over) events.state({ state, reason });
  };
  const sends = createSends({
    clock,
    canAct: () => !over && device.canAct(),
    written: (messageId) => !over && events.receipt({ messageId, state: 'WRITTEN', at: clock.wall() }),
  });
  const inbox = createInbox({ clock, log, store: (message) => heard(message), isOver: () => over });

  const redial = createRedial(clock, deps.dice, deps.timing);
  const run = (where: string, task: () => Promise<void>): void => void task().catch((error: unknown) => fail(where, error));
  const again = (): void => run('whatsapp.connection', resume);
  const fail = (where: string, error: unknown): void => {
    if (over) return;
    const code = error instanceof FlotillaError ? error.code : 'SESSION_STORE_UNAVAILABLE';
    log.warn(where, { device: device.id, code }, error);
    if (!linked && session !== undefined) {
      desk.publish(device.id, { kind: 'end', outcome: code });
      idle('UNPAIRED', code);
      return;
    }
    say('OFFLINE', code);
    // nothing is wiped: a person looks at it, restores what is missing and lets the device go again
    if (code === 'SESSION_CORRUPT' || code === 'SESSION_KEY_UNKNOWN') {
      jail(code);
      return;
    }
    // what another owner or a setting stands against stays as it is; the rest is tried again
    if (error instanceof FlotillaError && error.policy !== 'retryable') return;
    redial.failed({ slow: false, limit: null }, again);
  };

  /** quarantine; released, it starts from what is stored */
  const jail = (reason: string): void => {
    unwatch();
    unwatch = deps.quarantine.enter(device.id, reason, () => {
      redial.forget();
      run('whatsapp.connection', begin);
    });
  };
  const account = createAccount(
    {
      clock,
      dice: deps.dice,
      log,
      standing: deps.standing,
      timing: deps.timing,
      line: () => line,
      changed: () => online && say('ONLINE', account.reason),
    },
    device,
  );

  const heard = async (message: InboundText): Promise<void> => {
    // a number that WhatsApp did not say may have been learnt before
    const { from, fromLid } = message;
    const known = from === fromLid ? await deps.identities.phoneOf(device.tenantId, from) : null;
    account.heard(known ?? from);
    await events.inbound(known === null ? message : { ...message, from: known });
  };
  const lineNow = (): Line | undefined => (over || !online ? undefined : line);
  const numbers = createNumberCheck(deps, device, deps.numbers);
  const outgoing = createOutgoing({ ...deps, account, numbers, sends }, device);

  const begin = async (): Promise<void> => {
    session = await deps.sessions.open(device.id, device.epoch);
    if (over) return;
    const erased = await deps.eraseUnlinked(device, session);
    if (over) return;
    if (erased || session.creds === null) idle('UNPAIRED', null);
    else {
      creds = session.creds as Record<string, unknown>;
      linked = true;
      await dial('CONNECTING', null);
    }
  };
  const resume = (): Promise<void> => (linked ? reconnect() : begin());

  /** no socket until somebody asks to pair (C6) */
  const idle = (state: LinkState, reason: string | null): void => {
    linked = false;
    say(state, reason);
    unwatch();
    unwatch = desk.watch(device.id, (request) => run('whatsapp.pairing', () => pair(request)));
    // loaded while nobody waits for it: the first code is to be there within two seconds
    deps.library().catch((error: unknown) => log.warn('whatsapp.library', {}, error));
  };
  const pair = async (request: PairingRequest): Promise<void> => {
    unwatch();
    asked = request;
    codes = 0;
    await session?.erase();
    creds = (await deps.library()).freshCreds();
    await dial('PAIRING', 'CONNECTING');
  };

  const dial = async (state: LinkState, reason: string | null): Promise<void> => {
    generation += 1;
    const mine = generation;
    say(state, reason);
    const library = await deps.library();
    const abandoned = (): boolean => over || mine !== generation;
    let held = false;
    const turn = await deps.turns.take(device.id, abandoned, (code) => {
      held = true;
      if (!abandoned()) say(state === 'PAIRING' ? state : 'OFFLINE', disconnectFor(code, true).reason);
    });
    const current = session;
    if (turn === null) return;
    if (abandoned() || current === undefined) return turn(null);
    if (held) say(state, reason);
    endTurn = turn;
    try {
      line = library.openLine(
        {
          ...deps.line,
          creds,
          session: current,
          log,
          findSent: (wireId) => deps.wireIds.find(device.id, wireId),
        },
        listener(mine, turn),
      );
    } catch (error) {
      turn(null);
      throw error;
    }
  };

  const listener = (mine: number, turn: EndTurn): LineEvents => {
    const present = (): boolean => !over && mine === generation;
    return {
      opened(jid) {
        turn('opened');
        if (!present()) return;
        // a login that no phone has accepted: not what WhatsApp's servers do
        if (!linked) return refuse('PAIRING_FAILED');
        online = true;
        redial.opened();
        log.info('whatsapp.online', { device: device.id });
        say('ONLINE', account.reason);
        account.opened();
        desk.opened(device.id, jid);
      },
      closed(code) {
        turn(code);
        if (present()) run('whatsapp.closed', () => closed(code));
      },
      qr(text, lifeMs) {
        turn(null);
        if (present()) showCode(text, lifeMs);
      },
      linked(jid) {
        if (!present()) return false;
        if (device.phone !== null && phoneOf(jid) !== device.phone) {
          refuse('WRONG_NUMBER');
          return false;
        }
        linked = true;
        session?.saveCreds(creds);
        say('PAIRING', 'RESTARTING');
        desk.publish(device.id, { kind: 'linking' });
        return true;
      },
      passkeyDemanded() {
        if (present() && !linked) refuse('PASSKEY_REQUIRED');
      },
      credsChanged() {
        if (present() && linked) session?.saveCreds(creds);
      },
      reachOut: (standing) => present() && account.told(standing),
      newChats: (chats) => present() && account.counted(chats),
      acknowledged(wireId, error) {
        const to = sends.recipientOf(wireId);
        if (present() && error !== null && to !== undefined) refusedBy(error, to);
        if (!present() || sends.acknowledged(wireId, error)) return;
        if (error === null) void prove(wireId, 'SENT');
      },
      receipt(wireId, state) {
        if (present()) void prove(wireId, state);
      },
      identity: (phone, lid) => present() && deps.identities.learn(device.tenantId, phone, lid),
      inbound(message) {
        if (present()) inbox.add(message);
      },
    };
  };

  const refusedBy = (error: string, to: string): void => {
    account.refused(error, to);
    // most likely another list of the recipient's devices: asked for again before the one retry
    if (error === '479') deps.line.recipientDevices.del(to.replace(/^\+/, ''));
  };
  /** an ack or receipt of a message no attempt waits for: proof of an earlier one */
  const prove = async (wireId: string, state: 'SENT' | 'DELIVERED' | 'READ'): Promise<void> => {
    try {
      const message = await deps.wireIds.find(device.id, wireId);
      if (message !== null && !over) events.receipt({ messageId: message.id, state, at: clock.wall() });
    } catch (error) {
      log.warn('whatsapp.receipt.unmatched', { device: device.id }, error);
    }
  };

  /** a QR code came: it is shown, or asked to be a code to type; an unwatched pairing does not go on for ever */
  const showCode = (text: string, lifeMs: number): void => {
    codes += 1;
    const { mostCodes } = deps;
    if (codes > mostCodes) {
      refuse('PAIRING_EXPIRED');
      return;
    }
    if (asked?.method !== 'code') {
      say('PAIRING', 'SCAN_QR');
      desk.publish(device.id, { kind: 'qr', text, lifeMs, number: codes, most: mostCodes });
      return;
    }
    // the codes that follow only tell that the pairing is still open
    if (codes > 1) return;
    const { phone } = asked;
    run('whatsapp.pairing', async () => {
      const mine = generation;
      const code = await line?.requestCode(phone ?? '');
      if (over || mine !== generation || linked || code === undefined) return;
      say('PAIRING', 'TYPE_CODE');
      desk.publish(device.id, { kind: 'code', code, lifeMs: CODE_LIFE_MS });
    });
  };

  /** ends a pairing that came out wrong; nothing of it was stored */
  const refuse = (reason: string): void => {
    desk.publish(device.id, { kind: 'end', outcome: reason });
    void hangUp();
    idle('UNPAIRED', reason);
  };

  const closed = async (code: number | null): Promise<void> => {
    const row = disconnectFor(code, linked, codes > 0);
    drop();
    if (code === 429) account.slowedDown();
    log.info('whatsapp.closed', { device: device.id, code, reason: row.reason });
    if (linked) await session?.flush();
    if (over) return;
    const { action } = row;
    if (action.kind === 'restart') return dial(linked ? 'CONNECTING' : 'PAIRING', row.reason);
    if (action.kind === 'stop') return stop(row, action);
    if (action.kind === 'conflict') return conflict();
    say('OFFLINE', row.reason);
    if (!redial.failed(action, again)) jail(row.reason);
  };
  /** after an error of the store: what is due is written first (C3) */
  const reconnect = async (): Promise<void> => {
    if (linked) await session?.flush();
    if (!over) await dial('CONNECTING', null);
  };
  const stop = async (row: DisconnectRow, action: Extract<DisconnectRow['action'], { kind: 'stop' }>): Promise<void> => {
    if (action.erase) {
      await session?.erase();
      desk.unlinked(device.id);
    }
    if (action.state === 'OFFLINE') return say('OFFLINE', row.reason);
    desk.publish(device.id, { kind: 'end', outcome: row.reason });
    idle(action.state, row.reason);
  };
  const conflict = (): void => {
    say('OFFLINE', 'REPLACED');
    // the lease says who is right; a newer owner is left alone
    if (!device.canAct()) return;
    redial.conflicted(again);
  };

  const drop = (): void => {
    online = false;
    line = undefined;
    endTurn(null);
    account.closed();
    redial.closed();
    sends.lost();
  };
  const hangUp = async (): Promise<void> => {
    generation += 1;
    const last = line;
    drop();
    if (last === undefined) return;
    const controller = new AbortController();
    const late = clock.sleep(deps.timing.endMs, controller.signal).catch(() => {});
    await Promise.race([last.end(), late]);
    controller.abort();
  };
  const end = async (): Promise<void> => {
    over = true;
    signal.removeEventListener('abort', close);
    redial.stop();
    account.stop();
    unwatch();
    await hangUp();
    if (linked) {
      await session?.flush().catch((error: unknown) => log.warn('whatsapp.flush', { device: device.id }, error));
    }
  };
  const close = (): Promise<void> => {
    ended ??= end();
    return ended;
  };

  signal.addEventListener('abort', close, { once: true });
  if (signal.aborted) void close();
  else run('whatsapp.connection', begin);
  return {
    send: (message, timeoutMs) => outgoing.send(lineNow, message, timeoutMs),
    close,
  };
}
