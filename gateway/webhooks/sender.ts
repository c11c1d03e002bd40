import type { Clock, Dice } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import type { DueLane, Settled, SettleRules } from '../../schema/sql/index.ts';
import { requestOf } from './payload.ts';
import { type Post, type Posted, taken } from './post.ts';

/**
 * Tells webhooks what there is to tell. Every gateway runs one; Postgres gives each lane to one of them at a time.
 *
 * Owns: the requests under way here. Does not own: what is to be told and how far it is (Postgres). Called by its own clock.
 * S1 A lane has one request under way; its outcome is settled before its next: events of one message arrive in the order of its states.
 * S2 At most `slots` requests are under way, of a webhook that fails at most `failing`: a slow or hostile receiver holds up nobody else for long.
 * S3 What is not settled (a crash, a lost claim) goes out again under the same ids: at least once.
 */
export interface WebhookSender {
  start(): void;
  /** takes nothing more; waits for requests under way, not for long */
  close(): Promise<void>;
}
export interface WebhookSenderDeps {
  readonly claim: (
    claim: string,
    most: { readonly lanes: number; readonly failing: number; readonly holdMs: number },
  ) => Promise<readonly DueLane[]>;
  readonly settle: (one: Settled, rules: SettleRules) => Promise<{ readonly dead: number; readonly disabled: boolean } | null>;
  readonly post: Post;
  /** opens a sealed secret */
  readonly open: (webhookId: string, sealed: Buffer) => string;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Pick<Telemetry, 'count' | 'gauge' | 'log'>;
}
export interface WebhookSenderOptions {
  readonly slots: number;
  readonly failing: number;
  /** longer than a request may take */
  readonly holdMs: number;
  /** between two looks when there is nothing to tell */
  readonly pollMs: number;
  readonly baseMs: number;
  readonly capMs: number;
  /** tries after which an event is DEAD */
  readonly tries: number;
  readonly disableAfterMs: number;
}
/** Guesses: ten tries are some 70 minutes. */
export const WEBHOOK_SENDER: Omit<WebhookSenderOptions, 'disableAfterMs'> = Object.freeze({
  slots: 64,
  failing: 1,
  holdMs: 30_000,
  pollMs: 250,
  baseMs: 2000,
  capMs: 900_000,
  tries: 10,
});

const SOON_MS = 10;
const AWAY_MS = 2000;
const CLOSE_MS = 2000;

/** How long a lane holds still after its nth failure in a row, n from 0. Spread by a quarter either way. Pure but for the dice. */
export function webhookBackoffMs(failures: number, options: Pick<WebhookSenderOptions, 'baseMs' | 'capMs'>, dice: Dice): number {
  return Math.round(Math.min(options.capMs, options.baseMs * 4 ** Math.min(12, failures)) * (0.75 + dice.next() / 2));
}

export function createWebhookSender(deps: WebhookSenderDeps, options: WebhookSenderOptions): WebhookSender {
  const { clock, dice, telemetry } = deps;
  const ending = new AbortController();
  const underWay = new Set<Promise<void>>();
  let closed = false;
  let cancel: (() => void) | undefined;
  let claiming: Promise<void> | undefined;
  let again = false;

  const settle = async (lane: DueLane, claim: string, said: Posted): Promise<void> => {
    const ok = taken(said);
    const waitMs = ok ? 0 : Math.min(options.capMs, Math.max(webhookBackoffMs(lane.failures, options, dice), said.retryAfterMs ?? 0));
    const { webhookId } = lane;
    const nos = lane.events.map((event) => event.no);
    const { status, error } = said;
    telemetry.count('webhook.requests', 1, { outcome: ok ? 'taken' : status === null ? 'unanswered' : 'refused' });
    const outcome = await deps.settle(
      { webhookId, lane: lane.lane, claim, nos, taken: ok, status, error, waitMs, gone: status === 410 },
      { tries: options.tries, disableAfterMs: options.disableAfterMs, auditId: deps.newId() },
    );
    if (outcome === null) telemetry.log.warn('webhook.late', { webhookId, tookMs: said.tookMs });
    else {
      if (outcome.dead > 0) telemetry.count('webhook.dead', outcome.dead);
      if (outcome.disabled) telemetry.log.warn('webhook.disabled', { webhookId, error });
    }
  };
  const tell = async (lane: DueLane, claim: string): Promise<void> => {
    try {
      const { id, body } = requestOf(lane, clock.wall());
      const sealed = lane.secretBefore === null ? [lane.secret] : [lane.secret, lane.secretBefore];
      let secrets: string[];
      try {
        secrets = sealed.map((one) => deps.open(lane.webhookId, one));
      } catch (error) {
        telemetry.log.error('webhook.secret', { webhookId: lane.webhookId }, error);
        await settle(lane, claim, {
          status: null,
          error: 'its secret cannot be opened here: see SESSION_KEYS',
          tookMs: 0,
          retryAfterMs: null,
        });
        return;
      }
      const said = await deps.post({ url: lane.url, secrets }, id, body, ending.signal);
      // cut off by our own end: nobody knows, so it goes out again
      if (ending.signal.aborted && !taken(said)) return;
      await settle(lane, claim, said);
    } catch (error) {
      // not settled: its lane is free again when the claim's time is up (S3)
      telemetry.log.warn('webhook.settle', { webhookId: lane.webhookId }, error);
    }
  };
  const round = async (): Promise<number> => {
    const free = options.slots - underWay.size;
    if (free <= 0) return options.pollMs;
    const claim = deps.newId();
    const lanes = await deps.claim(claim, { lanes: free, failing: options.failing, holdMs: options.holdMs });
    for (const lane of lanes) {
      const one = tell(lane, claim).finally(() => {
        underWay.delete(one);
        soon();
      });
      underWay.add(one);
    }
    return options.pollMs;
  };
  const arm = (ms: number): void => {
    if (closed) return;
    cancel = clock.after(
      ms,
      () => {
        claiming = round()
          .catch((error: unknown) => {
            telemetry.log.warn('webhook.claim', {}, error);
            return AWAY_MS;
          })
          .then((wait) => {
            claiming = undefined;
            arm(again ? SOON_MS : wait);
            again = false;
          });
      },
      { background: true },
    );
  };
  /** a slot is free, and its lane may have more */
  const soon = (): void => {
    if (claiming !== undefined) again = true;
    else if (!closed) {
      cancel?.();
      arm(SOON_MS);
    }
  };
  const removeGauge = telemetry.gauge('webhook.under_way', () => underWay.size);
  return {
    start: () => arm(options.pollMs),
    async close() {
      closed = true;
      removeGauge();
      cancel?.();
      await claiming;
      const stop = clock.after(CLOSE_MS, () => ending.abort());
      await Promise.all(underWay);
      stop();
    },
  };
}
