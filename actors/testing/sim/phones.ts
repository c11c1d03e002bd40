import type { Lane } from '../../../schema/domain/index.ts';
import type { Connection, OutboundMessage, SendOutcome, Transport, TransportDevice, TransportEvents } from '../../transports/port.ts';
import type { Tables } from './ledger-rows.ts';
import type { Network } from './network.ts';
import type { Party, Scheduler } from './scheduler.ts';
import type { Timing } from './timing.ts';
import type { World } from './world-parts.ts';

/**
 * The phones of the simulated world and their log: the oracle of a run. A phone takes whatever reaches it, in the order of each connection,
 * shows a message id once and answers every time.
 *
 * Invariants judged as they happen: I1 epochs at a phone never fall; I4 an attempt arrives at most once, a message that has ended is not sent
 * again, and one that may not be repeated is not repeated; I5 within a lane messages are first seen in the order of seq; I9 nobody asks for a
 * send without leave to act.
 */
export interface Phones {
  transport(party: Party, node: string, kind: 'simulator' | 'whatsapp'): Transport;
  readonly figures: { arrivals: number; repeats: number; staleSends: number };
  /** ids that a person has seen */
  readonly shown: ReadonlySet<string>;
  /** shares of what goes wrong between node and phone */
  readonly trouble: { lost: number; unanswered: number; busy: number; refused: number; slowMs: number };
}

interface PhonesDeps {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly tables: Tables;
  readonly timing: Timing;
  readonly step: World['step'];
  violation(invariant: string, what: string): void;
}

/** what was sent in time arrives within this */
const ON_THE_WAY_MS = 200;

export function createPhones(deps: PhonesDeps): Phones {
  const { scheduler, network, tables, timing, step, violation } = deps;
  const figures = { arrivals: 0, repeats: 0, staleSends: 0 };
  const shown = new Set<string>();
  const attempts = new Set<string>();
  const epochs = new Map<string, number>();
  const heads = new Map<string, number>();
  const trouble: Phones['trouble'] = { lost: 0, unanswered: 0, busy: 0, refused: 0, slowMs: 0 };

  /** two may act for it: its lease was ended by a step of the clock that its new owner could not see */
  const shared = (deviceId: string): boolean => step.taken.has(deviceId) && scheduler.now() - step.at < timing.ttlMs + ON_THE_WAY_MS;

  const arrive = (device: TransportDevice, message: OutboundMessage, repeatable: boolean): void => {
    figures.arrivals += 1;
    const highest = epochs.get(device.id) ?? 0;
    if (device.epoch < highest && !shared(device.id)) violation('I1', `${message.id} arrived under epoch ${device.epoch} after ${highest}`);
    epochs.set(device.id, Math.max(highest, device.epoch));
    const attempt = `${message.id} ${message.attempt}`;
    if (attempts.has(attempt)) violation('I4', `attempt ${message.attempt} of ${message.id} arrived twice`);
    attempts.add(attempt);
    if (shown.has(message.id)) {
      figures.repeats += 1;
      if (!repeatable) violation('I4', `${message.id} was repeated on a transport that may not repeat`);
      return;
    }
    shown.add(message.id);
    const row = tables.messages.get(message.id);
    if (row === undefined || row.seq === null) return;
    const lane: `${string} ${Lane}` = `${device.id} ${row.lane}`;
    const before = heads.get(lane) ?? 0;
    if (row.seq < before) violation('I5', `${message.id} (seq ${row.seq}) arrived after seq ${before} of its lane`);
    else heads.set(lane, row.seq);
  };

  const transport: Phones['transport'] = (party, node, kind) => {
    const repeatable = kind === 'simulator';
    const connect = (device: TransportDevice, events: TransportEvents, signal: AbortSignal): Connection => {
      let last = 0;
      const waiting = new Map<string, (outcome: SendOutcome) => void>();
      const way = (): number => network.between(3, 15) + (trouble.slowMs > 0 ? network.between(0, trouble.slowMs) : 0);
      signal.addEventListener(
        'abort',
        () => {
          for (const settle of [...waiting.values()]) settle({ kind: 'unknown', code: 'ABORTED' });
        },
        { once: true },
      );
      scheduler.at(scheduler.now() + way(), party, 'phone', 'online', () => {
        if (!signal.aborted) events.state({ state: 'ONLINE', reason: null });
      });

      const answer = (message: OutboundMessage): SendOutcome => {
        if (network.chance(trouble.busy)) return { kind: 'rejected', retry: true, code: 'BUSY', detail: 'simulated' };
        if (network.chance(trouble.refused)) return { kind: 'rejected', retry: false, code: 'NO_SUCH_NUMBER', detail: 'simulated' };
        arrive(device, message, repeatable);
        return { kind: 'sent', at: scheduler.wall() };
      };
      const send = (message: OutboundMessage, timeoutMs: number): Promise<SendOutcome> => {
        if (!device.canAct()) {
          // a transport refuses it too, but whoever asks has not looked in the tick of the send (actors/device I2)
          violation('I9', `${node} asked for ${message.id} to be sent when it might not act any more`);
          return Promise.resolve({ kind: 'not-sent', code: 'FENCED' });
        }
        if (signal.aborted) return Promise.resolve({ kind: 'not-sent', code: 'OFFLINE' });
        const present = tables.ownership.get(device.id)?.epoch ?? 0;
        if (present > device.epoch) {
          figures.staleSends += 1;
          if (!shared(device.id)) violation('I2', `${message.id} was sent under epoch ${device.epoch}, present ${present}`);
        }
        return new Promise((resolve) => {
          const event = scheduler.at(scheduler.now() + timeoutMs, party, 'timer', 'send-timeout', () =>
            settle({ kind: 'unknown', code: 'TIMEOUT' }),
          );
          const key = `${message.id} ${message.attempt}`;
          const settle = (outcome: SendOutcome): void => {
            event.run = undefined;
            waiting.delete(key);
            resolve(outcome);
          };
          waiting.set(key, settle);
          if (network.chance(trouble.lost)) return;
          last = Math.max(last, scheduler.now() + way());
          scheduler.at(last, scheduler.world, 'phone', 'arrival', () => {
            const outcome = answer(message);
            if (network.chance(trouble.unanswered) && network.chance(0.7)) return;
            const late = network.chance(trouble.unanswered) ? timeoutMs + network.between(0, 1500) : 0;
            scheduler.at(scheduler.now() + way() + late, party, 'phone', 'answer', () => {
              const settleNow = waiting.get(key);
              if (settleNow !== undefined) settleNow(outcome);
              else if (outcome.kind === 'sent' && !signal.aborted) events.receipt({ messageId: message.id, state: 'SENT', at: outcome.at });
            });
            if (outcome.kind === 'sent' && network.chance(0.1)) {
              scheduler.at(scheduler.now() + network.between(20, 500), party, 'phone', 'delivered', () => {
                if (!signal.aborted) events.receipt({ messageId: message.id, state: 'DELIVERED', at: scheduler.wall() });
              });
            }
          });
        });
      };
      return { send, close: async () => {} };
    };
    return { kind, resendsUnknown: repeatable, connect, close: async () => {} };
  };
  return { transport, figures, shown, trouble };
}
