import type { Sql } from '../../ops/connect/index.ts';
import { AddressRefused, checkLiteral, publicUrl } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { assert, uuidV7, WEBHOOKS_LIMIT } from '../../schema/domain/index.ts';
import type { WebhookPort } from '../../schema/graphql/index.ts';
import * as ledger from '../../schema/sql/index.ts';
import type { Guard } from '../system/index.ts';
import { type Post, taken } from './post.ts';
import type { Secrets } from './secrets.ts';
import { newWebhookSecret } from './sign.ts';

export interface WebhookPortDeps {
  readonly sql: Sql;
  readonly guard: Guard;
  readonly clock: Clock;
  readonly secrets: Secrets;
  readonly post: Post;
  /** WEBHOOK_PRIVATE_HOSTS */
  readonly allowed: readonly string[];
}

/** The secret before a rotation signs beside the new one for a day. */
const OVERLAP_MS = 86_400_000;

/** Wires webhooks to the ledger. */
export function createWebhookPort({ sql, guard, clock, secrets, post, allowed }: WebhookPortDeps): WebhookPort {
  const byId = async (tenantId: string, id: string): Promise<ledger.WebhookRow | null> =>
    (await ledger.webhooksOf(sql, tenantId, [id]))[0] ?? null;
  return {
    urlFault(text) {
      try {
        checkLiteral(publicUrl(text), allowed);
        return null;
      } catch (error) {
        if (error instanceof AddressRefused) return error.message;
        throw error;
      }
    },
    list: (tenantId, ids) => guard(() => ledger.webhooksOf(sql, tenantId, ids)),
    create: (tenantId, webhook) =>
      guard(async () => {
        const id = uuidV7(clock.wall());
        const secret = newWebhookSecret();
        const sealed = secrets.seal(id, secret);
        if (!(await ledger.createWebhook(sql, { id, tenantId, ...webhook, secret: sealed }, WEBHOOKS_LIMIT))) return 'TOO_MANY';
        const row = await byId(tenantId, id);
        assert(row !== null, 'createWebhook: what was made is there');
        return { row, secret };
      }),
    update: (tenantId, id, { rotateSecret, ...patch }) =>
      guard(async () => {
        const secret = rotateSecret === true ? newWebhookSecret() : null;
        const whole = secret === null ? patch : { ...patch, secret: secrets.seal(id, secret) };
        if (!(await ledger.updateWebhook(sql, tenantId, id, whole, OVERLAP_MS))) return null;
        const row = await byId(tenantId, id);
        return row === null ? null : { row, secret };
      }),
    remove: (tenantId, id) => guard(() => ledger.deleteWebhook(sql, tenantId, id)),
    async test(tenantId, id) {
      const row = await guard(() => byId(tenantId, id));
      if (row === null) return null;
      const no = uuidV7(clock.wall());
      const body = {
        type: 'webhook.test',
        timestamp: new Date(clock.wall()).toISOString(),
        data: { id: `test_${no}`, webhookId: `Webhook:${id}` },
      };
      const said = await post({ url: row.url, secrets: [secrets.open(id, row.secret)] }, `test_${no}`, JSON.stringify(body));
      return { taken: taken(said), status: said.status, error: said.error, tookMs: said.tookMs };
    },
    deliveries: (tenantId, id, query) =>
      guard(async () => {
        const rows = await ledger.webhookDeliveries(sql, tenantId, id, { ...query, limit: query.limit + 1 });
        return { rows: rows.slice(0, query.limit), more: rows.length > query.limit };
      }),
    replay: (tenantId, id, order) => guard(() => ledger.replayWebhook(sql, tenantId, id, order)),
  };
}
