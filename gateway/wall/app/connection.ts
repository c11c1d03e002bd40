import { type Client, createClient } from 'graphql-ws';
import type { FleetUpdate } from './fleet.ts';

/** The link to the gateway, as the wall's chip says it. */
export type Link = 'CONNECTING' | 'CONNECTED' | 'RECONNECTING' | 'REFUSED';

export interface ConnectionOptions {
  readonly url: string;
  readonly key: () => string;
  readonly query: string;
  /** the position to go on from, null = a snapshot please */
  readonly position: () => { readonly epoch: string; readonly seq: number } | null;
  /** false = the update does not fit: the subscription is made anew with a snapshot */
  readonly onUpdate: (update: FleetUpdate) => boolean;
  readonly onLink: (link: Link) => void;
}

const RETRY_CAP_MS = 15_000;
/** 4401 and 4403: the key is wrong, trying again every few seconds cannot help */
const REFUSALS = new Set([4401, 4403]);

/**
 * Keeps one `fleet` subscription alive for ever. graphql-ws retries inside one client; this wraps it so that a fatal close code, a
 * failed operation or a gap makes a new subscription. Source: graphql-ws 6, Client; its defaults give up after five tries.
 */
export function keepSubscribed(options: ConnectionOptions): { close(): void } {
  let closed = false;
  let attempt = 0;
  let client: Client | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const again = (waitMs: number): void => {
    if (closed) return;
    void client?.dispose();
    client = undefined;
    clearTimeout(timer);
    timer = setTimeout(start, waitMs);
  };
  const backoff = (): number => Math.min(RETRY_CAP_MS, 500 * 2 ** attempt++) * (0.5 + Math.random() / 2);

  const start = (): void => {
    let link: Link = attempt === 0 ? 'CONNECTING' : 'RECONNECTING';
    options.onLink(link);
    let pong: ReturnType<typeof setTimeout> | undefined;
    const mine = createClient({
      url: options.url,
      lazy: false,
      retryAttempts: 0,
      keepAlive: 5_000,
      connectionParams: () => ({ authorization: `Bearer ${options.key()}` }),
      on: {
        connected: () => {
          link = 'CONNECTED';
          options.onLink(link);
        },
        ping: (received) => {
          if (!received) pong = setTimeout(() => mine.terminate(), 3_000);
        },
        pong: (received) => {
          if (received) clearTimeout(pong);
        },
        closed: (event) => {
          clearTimeout(pong);
          if (mine !== client) return;
          const code = (event as CloseEvent).code;
          if (REFUSALS.has(code)) options.onLink('REFUSED');
          again(REFUSALS.has(code) ? RETRY_CAP_MS : backoff());
        },
      },
      onNonLazyError: () => {},
    });
    client = mine;
    mine.subscribe<{ fleet: FleetUpdate }>(
      { query: options.query, variables: { since: options.position() } },
      {
        next: ({ data }) => {
          attempt = 0;
          if (data !== null && data !== undefined && !options.onUpdate(data.fleet) && mine === client) again(0);
        },
        error: () => {
          if (mine === client) again(backoff());
        },
        complete: () => {
          if (mine === client) again(backoff());
        },
      },
    );
  };
  start();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      void client?.dispose();
    },
  };
}
