import type { Config } from '../../ops/config/index.ts';
import type { Sql } from '../../ops/connect/index.ts';
import type { Clock, Dice, Lifetime } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import type { WebhookPort } from '../../schema/graphql/index.ts';
import { claimWebhookLanes, settleWebhookLane } from '../../schema/sql/index.ts';
import type { Guard } from '../system/index.ts';
import { createWebhookPort } from './port.ts';
import { createPost } from './post.ts';
import { createSecrets } from './secrets.ts';
import { createWebhookSender, WEBHOOK_SENDER } from './sender.ts';

export interface WebhooksDeps {
  readonly sql: Sql;
  readonly config: Pick<
    Config<'DATABASE_URL' | 'REDIS_URL'>,
    'WEBHOOK_PRIVATE_HOSTS' | 'WEBHOOK_DISABLE_HOURS' | 'SESSION_KEYS' | 'DATA_DIR'
  >;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly telemetry: Telemetry;
  readonly lifetime: Lifetime;
}

/** A receiver has this long for its answer. */
const TIMEOUT_MS = 10_000;
/** testWebhook answers a person. */
const TEST_TIMEOUT_MS = 5_000;
const HOUR_MS = 3_600_000;

/** Starts telling webhooks, and answers with their port for the API. */
export function openWebhooks({ sql, config, clock, dice, telemetry, lifetime }: WebhooksDeps): (guard: Guard) => WebhookPort {
  const allowed = config.WEBHOOK_PRIVATE_HOSTS;
  const secrets = createSecrets(config);
  const sender = createWebhookSender(
    {
      claim: (claim, most) => claimWebhookLanes(sql, claim, most),
      settle: (one, rules) => settleWebhookLane(sql, one, rules),
      post: createPost(clock, { allowed, timeoutMs: TIMEOUT_MS }),
      open: (webhookId, sealed) => secrets.open(webhookId, sealed),
      newId: () => uuidV7(clock.wall()),
      clock,
      dice,
      telemetry,
    },
    { ...WEBHOOK_SENDER, disableAfterMs: config.WEBHOOK_DISABLE_HOURS * HOUR_MS },
  );
  sender.start();
  lifetime.add('webhooks', () => sender.close());
  const post = createPost(clock, { allowed, timeoutMs: TEST_TIMEOUT_MS });
  return (guard) => createWebhookPort({ sql, guard, clock, secrets, post, allowed });
}
