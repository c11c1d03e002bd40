import { FlotillaError, type PairingRequest, proxyOf } from '../../../schema/domain/index.ts';
import type { DeviceSession } from '../../sessions/index.ts';
import type { LinkState, TransportDevice, TransportEvents } from '../port.ts';
import { createAccount } from './account.ts';
import type { EndTurn } from './connect-turn.ts';
import type { ConnectionDeps, DeviceConnection } from './connection-port.ts';
import { type DisconnectRow, disconnectFor } from './disconnects.ts';
import { createInbox } from './inbox.ts';
import { phoneOf } from './jid.ts';
import type { Line, LineEvents } from './line-port.ts';
import { createLiveness, type Zombie } from './liveness.ts';
import { createNumberCheck } from './number-check.ts';
import { createOutgoing } from './outgoing.ts';
import { createPairingCodes } from './pairing-codes.ts';
import { createProofs } from './proofs.ts';
import { createRedial } from './redial.ts';
import { createSends } from './sends.ts';
import type { ProxyFault } from './tunnel.ts';

/** as long as the server keeps a pairing open: the first QR code's 60 s and five of 20 s */
const CODE_LIFE_MS = 160_000;

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
 * C8. A device with a proxy goes through it or nowhere; one whose proxy changes is let go and dials anew.
 * C9. Behind an inbound message that cannot be stored at most `mostBehind` others wait in memory; then the socket is let go until it is stored.
 */
export function createDeviceConnection(
  deps: ConnectionDeps,
  device: TransportDevice,
  events: TransportEvents,
  signal: AbortSignal,
): DeviceConnection {
  const { clock, log, desk } = deps;
  let over = false;
  let generation = 0;
  let line: Line | undefined;
  let online = false;
  let linked = false;
  /** why it stands still until somebody acts, null while it tries; the proxy of the last socket, as it is kept */
  let resting: string | null = null;
  let way: string | null = null;
  let session: DeviceSession | undefined;
  let creds: Record<string, unknown> = {};
  let unwatch = (): void => {};
  let endTurn: EndTurn = () => {};
  let ended: Promise<void> | undefined;

  const say = (state: LinkState, reason: string | null): void => {
    if (!over) events.state({ state, reason });
  };
  const liveness = createLiveness(clock, deps.liveness);
  const sends = createSends({
    clock,
    canAct: () => !over && device.canAct(),
    // behind a message that is not stored nothing is sent either: no fault of WhatsApp's
    unanswered: (beganAt) => !inbox.isStuck && liveness.unanswered(beganAt),
    written: (messageId) => !over && events.receipt({ messageId, state: 'WRITTEN', at: clock.wall() }),
  });
  const proofs = createProofs({ ...deps, deviceId: device.id, isOver: () => over, receipt: (proof) => events.receipt(proof) });
  const inbox = createInbox({ ...deps, heard: (from) => account.heard(from), inbound: (message) => events.inbound(message) }, device);

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
    if (error instanceof FlotillaError && error.policy !== 'retryable') resting = code;
    else redial.failed({ slow: false, limit: null }, again);
  };

  /** quarantine; released, it starts from what is stored */
  const jail = (reason: string): void => {
    resting = reason;
    unwatch();
    unwatch = deps.quarantine.enter(device.id, reason, () => {
      redial.forget();
      run('whatsapp.connection', begin);
    });
  };
  const account = createAccount({ ...deps, line: () => line, changed: () => online && say('ONLINE', account.reason) }, device);

  const lineNow = (): Line | undefined => (over || !online ? undefined : line);
  const forgetMedia = deps.mediaAgain.watch(device.id, (wanted) => (device.canAct() ? (lineNow()?.askMediaAgain(wanted) ?? null) : null));
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

  // C6
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
    codes.begin(request);
    await session?.erase();
    creds = (await deps.library()).freshCreds();
    await dial('PAIRING', 'CONNECTING');
  };

  const dial = async (state: LinkState, reason: string | null): Promise<void> => {
    generation += 1;
    const mine = generation;
    resting = null;
    way = wayNow();
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
      way = wayNow();
      line = library.openLine(
        {
          ...deps.line,
          clock,
          // unreadable: no socket at all
          proxy: deps.proxies.open(device.id, device.settings),
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

  const wayNow = (): string | null => proxyOf(device.settings)?.sealed ?? null;
  /** what no event tells: a socket that is dead, another proxy */
  const look = (): void => {
    if (over || generation === 0) return;
    const zombie = liveness.look(async () => line?.probe());
    if (way !== wayNow()) otherWay();
    else if (zombie !== null) run('whatsapp.zombie', () => bury(zombie));
  };
  /** lets go of the socket; `then` is done after `first`, unless something else was done meanwhile */
  const letGo = async (then: () => unknown, first = async (): Promise<void> => {}): Promise<void> => {
    const mine = generation + 1;
    await hangUp();
    await first();
    if (!over && mine === generation) await then();
  };
  const bury = (zombie: Zombie): Promise<void> => {
    log.warn('whatsapp.zombie', { device: device.id, ...zombie });
    say('OFFLINE', zombie.reason);
    return letGo(() => redial.failed({ slow: false, limit: null }, again), flush);
  };
  const otherWay = (): void => {
    if (!linked) {
      if (line !== undefined) refuse('PROXY_CHANGED');
      return;
    }
    // a proxy does not undo what stopped it
    if (resting !== null && resting !== 'PROXY_UNREADABLE') return;
    way = wayNow();
    redial.stop();
    say('OFFLINE', 'PROXY_CHANGED');
    run('whatsapp.proxy', () => letGo(reconnect));
  };
  /** C9 */
  const crowded = (behind: number): void => {
    if (!linked || behind < deps.mostBehind || !inbox.isStuck) return;
    log.error('whatsapp.inbound.full', { device: device.id, behind });
    say('OFFLINE', 'INBOUND_UNSTORED');
    run('whatsapp.inbound', () => letGo(reconnect, inbox.empty));
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
        liveness.opened();
        log.info('whatsapp.online', { device: device.id });
        say('ONLINE', account.reason);
        account.opened();
        desk.opened(device, jid);
      },
      closed(code, fault) {
        turn(fault === undefined ? code : null);
        if (present()) run('whatsapp.closed', () => closed(code, fault));
      },
      qr(text, lifeMs) {
        turn(null);
        if (present()) codes.came(text, lifeMs);
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
      frame: (unasked) => present() && liveness.frame(unasked),
      acknowledged(wireId, error) {
        const to = sends.recipientOf(wireId);
        if (present()) liveness.acknowledged(error === null ? to : undefined);
        if (present() && error !== null && to !== undefined) refusedBy(error, to);
        if (!present() || sends.acknowledged(wireId, error)) return;
        if (error === null) proofs.prove(wireId, 'SENT');
      },
      receipt(wireId, state) {
        if (present()) proofs.prove(wireId, state);
      },
      identity: (phone, lid) => present() && deps.identities.learn(device.tenantId, phone, lid),
      // of a socket that was let go of: nobody waits for it any more
      inbound: (message) => (present() ? inbox.add(message) : new Promise(() => {})),
      crowded: (behind) => present() && crowded(behind),
      fenced: (error) => present() && run('whatsapp.fenced', () => letGo(() => Promise.reject(error))),
    };
  };

  const refusedBy = (error: string, to: string): void => {
    account.refused(error, to);
    // most likely another list of the recipient's devices: asked for again before the one retry
    if (error === '479') deps.line.recipientDevices.del(to.replace(/^\+/, ''));
  };
  const askCode = (phone: string): void =>
    run('whatsapp.pairing', async () => {
      const mine = generation;
      const code = await line?.requestCode(phone);
      if (over || mine !== generation || linked || code === undefined) return;
      say('PAIRING', 'TYPE_CODE');
      desk.publish(device.id, { kind: 'code', code, lifeMs: CODE_LIFE_MS });
    });
  const codes = createPairingCodes({
    deviceId: device.id,
    desk,
    most: deps.mostCodes,
    say: (reason) => say('PAIRING', reason),
    expired: () => refuse('PAIRING_EXPIRED'),
    askCode: (phone) => askCode(phone),
  });

  /** ends a pairing that came out wrong; nothing of it was stored */
  const refuse = (reason: string): void => {
    desk.publish(device.id, { kind: 'end', outcome: reason });
    void hangUp();
    idle('UNPAIRED', reason);
  };

  const closed = async (code: number | null, fault?: ProxyFault): Promise<void> => {
    const row = disconnectFor(code, linked, codes.shown, fault);
    drop();
    if (code === 429 && fault === undefined) account.slowedDown();
    log.info('whatsapp.closed', { device: device.id, code, reason: row.reason });
    const mine = generation;
    await flush();
    // let go of meanwhile: who did it dials
    if (over || mine !== generation) return;
    const { action } = row;
    if (action.kind === 'restart') return dial(linked ? 'CONNECTING' : 'PAIRING', row.reason);
    if (action.kind === 'stop') return stop(row, action);
    if (action.kind === 'conflict') return conflict();
    say('OFFLINE', row.reason);
    if (!redial.failed(action, again)) jail(row.reason);
  };
  /** C3 */
  const flush = async (): Promise<void> => {
    if (linked) await session?.flush();
  };
  /** after an error of the store: what is due is written first */
  const reconnect = async (): Promise<void> => {
    await flush();
    if (!over) await dial('CONNECTING', null);
  };
  const stop = async (row: DisconnectRow, action: Extract<DisconnectRow['action'], { kind: 'stop' }>): Promise<void> => {
    if (action.erase) {
      await session?.erase();
      desk.unlinked(device);
    }
    resting = row.reason;
    if (action.state === 'OFFLINE') return say('OFFLINE', row.reason);
    desk.publish(device.id, { kind: 'end', outcome: row.reason });
    idle(action.state, row.reason);
  };
  const conflict = (): void => {
    say('OFFLINE', 'REPLACED');
    // the lease says who is right; a newer owner is left alone
    if (device.canAct()) redial.conflicted(again);
    else resting = 'REPLACED';
  };

  const drop = (): void => {
    online = false;
    line = undefined;
    endTurn(null);
    account.closed();
    liveness.closed();
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
    forgetMedia();
    unwatch();
    inbox.close();
    await hangUp();
    await flush().catch((error: unknown) => log.warn('whatsapp.flush', { device: device.id }, error));
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
    look,
    close,
  };
}
