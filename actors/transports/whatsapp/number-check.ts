import type { Clock } from '../../../ops/lifecycle/index.ts';
import type { SendOutcome, TransportDevice } from '../port.ts';
import type { Identities } from './identities.ts';
import type { Standing } from './standing.ts';

/**
 * Is the recipient on WhatsApp at all? Asked before a send when the device is set so: a message to nobody is a sign of a bad list, and WhatsApp counts it.
 * Owns: how often this device asked within the hour. Does not own: the answers (identities.ts, kept with their age). Called by outgoing.ts.
 *
 * N1. WhatsApp is asked at most `perHour` times an hour, and never about somebody who knows the device or whose answer is young enough.
 * N2. Without an answer nothing is sent: the message waits.
 */
export interface NumberCheck {
  /** null: go on. `ask`: null = WhatsApp did not answer */
  refusal(to: string, ask: () => Promise<boolean | null>): Promise<Extract<SendOutcome, { kind: 'rejected' }> | null>;
}
export interface NumberCheckOptions {
  /** for devices that do not say it themselves (`settings.checkNumbers`) */
  readonly byDefault: boolean;
  readonly perHour: number;
  /** an answer counts for this long; shorter for who was not there: people join */
  readonly presentMs: number;
  readonly absentMs: number;
}

const HOUR_MS = 3_600_000;
const AGAIN_MS = 10_000;
const PATIENCE_MS = 8000;

const wait = (code: string, detail: string, retryAfterMs: number): Extract<SendOutcome, { kind: 'rejected' }> => ({
  kind: 'rejected',
  retry: true,
  code,
  detail,
  retryAfterMs,
});

export function createNumberCheck(
  deps: { readonly clock: Clock; readonly identities: Identities; readonly standing: Pick<Standing, 'isWarm'> },
  device: TransportDevice,
  options: NumberCheckOptions,
): NumberCheck {
  const { clock, identities } = deps;
  let window = { from: Number.NEGATIVE_INFINITY, asked: 0 };
  const asked = async (ask: () => Promise<boolean | null>): Promise<boolean | null> => {
    const controller = new AbortController();
    const late = clock.sleep(PATIENCE_MS, controller.signal).then(
      () => null,
      () => null,
    );
    const answer = await Promise.race([ask().catch(() => null), late]);
    controller.abort();
    return answer;
  };
  const verdict = (registered: boolean): Extract<SendOutcome, { kind: 'rejected' }> | null =>
    registered
      ? null
      : { kind: 'rejected', retry: false, code: 'NOT_ON_WHATSAPP', detail: 'the number is not on WhatsApp; nothing was sent' };
  return {
    async refusal(to, ask) {
      const own = device.settings['checkNumbers'];
      if (!(typeof own === 'boolean' ? own : options.byDefault)) return null;
      const known = await identities.registered(device.tenantId, to);
      if (known !== null && known.ageMs < (known.registered ? options.presentMs : options.absentMs)) return verdict(known.registered);
      if (await deps.standing.isWarm(device.id, to)) return null;
      const now = clock.monotonic();
      if (now - window.from >= HOUR_MS) window = { from: now, asked: 0 };
      if (window.asked >= options.perHour) {
        const detail = `this device has asked about ${options.perHour} numbers within the hour`;
        return wait('NUMBER_CHECK_LIMIT', detail, Math.max(1000, window.from + HOUR_MS - now));
      }
      window.asked += 1;
      const answer = await asked(ask);
      if (answer === null)
        return wait('NUMBER_CHECK_FAILED', 'WhatsApp did not say whether the number is there; nothing was sent', AGAIN_MS);
      await identities.noteRegistered(device.tenantId, to, answer);
      return verdict(answer);
    },
  };
}
