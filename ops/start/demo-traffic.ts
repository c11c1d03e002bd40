import type { Clock, Dice } from '../lifecycle/index.ts';
import { type Api, ask } from './api.ts';

const SEND = `mutation DemoMessage($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code } } }`;
const LINES = ['Your parcel is on its way', 'Your table is booked', 'Reminder: see you tomorrow', 'Thank you for your order'];

/** Counts since the start; `failed` are requests that the API refused or did not answer. */
export interface DemoTraffic {
  readonly sent: number;
  readonly failed: number;
  stop(): Promise<void>;
}

/**
 * A trickle of messages from simulated devices to numbers that nobody has (+1 555 010 xxxx). Every body says that it is simulated. Owns one
 * timer; a slow API makes the trickle thinner, never a queue.
 */
export function startDemoTraffic(
  deps: { readonly clock: Clock; readonly dice: Dice },
  api: Api,
  deviceIds: readonly string[],
  perSecond = 2,
): DemoTraffic {
  let sent = 0;
  let failed = 0;
  let cancel: () => void = () => {};
  let stopped = false;
  let inFlight: Promise<void> | undefined;
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(deps.dice.next() * list.length)];
  const one = async (): Promise<void> => {
    const to = `+1555010${String(Math.floor(deps.dice.next() * 10_000)).padStart(4, '0')}`;
    const input = { deviceId: pick(deviceIds), to, body: `[simulated] ${pick(LINES)}` };
    try {
      const answer = await ask<{ sendMessage: { message: unknown } }>(api, SEND, { input });
      if (answer.sendMessage.message === null) failed += 1;
      else sent += 1;
    } catch {
      failed += 1;
    }
  };
  const tick = (): void => {
    inFlight ??= one().finally(() => {
      inFlight = undefined;
    });
    if (!stopped) cancel = deps.clock.after(1_000 / perSecond, tick);
  };
  if (deviceIds.length > 0) tick();
  return {
    get sent() {
      return sent;
    },
    get failed() {
      return failed;
    },
    async stop() {
      stopped = true;
      cancel();
      await inFlight;
    },
  };
}
