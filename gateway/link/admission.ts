import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';

/**
 * Paces hellos: after a gateway's death thousands of devices come within seconds, and each costs the ledger a look. Hellos wait in line, are
 * asked for in batches at a bounded rate, and are sent away with a time to come back when the line is too long.
 *
 * Owns: the line and the token bucket. Does not own: what a hello means. Called by link.ts.
 * P1 One question is under way at a time; each holds at most `batch` hellos, in the order they came.
 * P2 Who is sent away is told a time that grows with the line and is drawn by lot, so that they do not come back together.
 */
export interface Admission<Ask, Answer> {
  /** ms after which to come back: there is no room. Else `done` is called later, with the answer or with why there is none. */
  enter(ask: Ask, done: (answer: Answer | null, failure?: unknown) => void): number;
  /** would it have to wait longer than it may? the same time as `enter` would say, or 0 */
  full(): number;
  readonly waiting: number;
}

export interface AdmissionOptions {
  readonly perSecond: number;
  /** seconds of work that may stand in line */
  readonly mostSeconds?: number;
  readonly batch?: number;
}

export function createAdmission<Ask, Answer>(
  deps: {
    /** answers in the order of the questions */
    readonly look: (asks: readonly Ask[]) => Promise<readonly (Answer | null)[]>;
    readonly clock: Clock;
    readonly dice: Dice;
    readonly telemetry: Pick<Telemetry, 'count'>;
  },
  options: AdmissionOptions,
): Admission<Ask, Answer> {
  const { clock, dice } = deps;
  const { perSecond, mostSeconds = 5, batch = 200 } = options;
  const burst = Math.max(1, perSecond / 4);
  let line: { readonly ask: Ask; readonly done: (answer: Answer | null, failure?: unknown) => void }[] = [];
  let tokens = burst;
  let at = clock.monotonic();
  let running = false;

  const fill = (): void => {
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + ((now - at) / 1000) * perSecond);
    at = now;
  };
  const run = async (): Promise<void> => {
    while (line.length > 0) {
      fill();
      if (tokens < 1) {
        await clock.sleep(Math.max(10, ((1 - tokens) / perSecond) * 1000));
        continue;
      }
      const taken = line.slice(0, Math.min(batch, Math.floor(tokens)));
      line = line.slice(taken.length);
      tokens -= taken.length;
      try {
        const answers = await deps.look(taken.map(({ ask }) => ask));
        taken.forEach(({ done }, index) => {
          done(answers[index] ?? null);
        });
      } catch (error) {
        for (const { done } of taken) done(null, error);
      }
    }
    running = false;
  };
  const full = (): number => {
    const waitMs = (line.length / perSecond) * 1000;
    return waitMs < mostSeconds * 1000 ? 0 : Math.ceil(waitMs * (0.5 + dice.next()));
  };
  return {
    enter(ask, done) {
      const comeBackMs = full();
      if (comeBackMs > 0) {
        deps.telemetry.count('limit.rejected', 1, { limit: 'link_hellos' });
        return comeBackMs;
      }
      line.push({ ask, done });
      if (!running) {
        running = true;
        setImmediate(() => void run());
      }
      return 0;
    },
    full,
    get waiting() {
      return line.length;
    },
  };
}
