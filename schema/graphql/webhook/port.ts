import type { WebhookEvent } from '../../domain/index.ts';
import type { DeliveryRow, DeliveryState, ReplayOrder, WebhookRow } from '../../sql/index.ts';
import type { Page } from '../context.ts';

export interface WebhookTest {
  readonly taken: boolean;
  readonly status: number | null;
  readonly error: string | null;
  readonly tookMs: number;
}
/** Webhooks of a tenant. Null and false = the tenant has none of that id. */
export interface WebhookPort {
  /** what is wrong with an address, as far as can be said before it is asked */
  urlFault(url: string): string | null;
  /** all (`ids` null), or those of these ids */
  list(tenantId: string, ids: readonly string[] | null): Promise<readonly WebhookRow[]>;
  create(
    tenantId: string,
    webhook: { readonly url: string; readonly events: readonly WebhookEvent[]; readonly batch: number },
  ): Promise<{ readonly row: WebhookRow; readonly secret: string } | 'TOO_MANY'>;
  update(
    tenantId: string,
    id: string,
    patch: {
      readonly url?: string;
      readonly events?: readonly WebhookEvent[];
      readonly batch?: number;
      readonly enabled?: boolean;
      readonly rotateSecret?: boolean;
    },
  ): Promise<{ readonly row: WebhookRow; readonly secret: string | null } | null>;
  remove(tenantId: string, id: string): Promise<boolean>;
  /** one request, now, whether it is on or off */
  test(tenantId: string, id: string): Promise<WebhookTest | null>;
  /** newest first */
  deliveries(
    tenantId: string,
    id: string,
    query: { readonly states: readonly DeliveryState[] | null; readonly before: number | null; readonly limit: number },
  ): Promise<Page<DeliveryRow>>;
  replay(tenantId: string, id: string, order: ReplayOrder): Promise<number>;
}
