import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { GraphiQLOptions } from 'graphql-yoga';

const EXAMPLES = [
  `# Who am I, and how is the fleet? (put your key into "Headers" below)
query Fleet {
  viewer { keyName scopes tenant { id name } }
  fleet { devices connected backlog sentPerMinute failedPerMinute states { state count } }
  nodes { id state devices }
}`,
  `# The first devices, and why each is (not) sending
query Devices {
  devices(first: 20) {
    edges { node { id name state reason node epoch sendability { canSend reasons backlog nextSendAt } } }
    pageInfo { hasNextPage endCursor }
  }
}`,
  `# Queue a message: the answer comes once it is committed
mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) {
    message { id state seq }
    held
    errors { code message path retryAfterMs }
  }
}`,
  `# Follow messages as they move
subscription Events {
  messageEvents { message { id to } state at }
}`,
] as const;

const HEADERS = JSON.stringify({ authorization: 'Bearer <your key>' }, null, 2);
const SEND_VARIABLES = JSON.stringify(
  { input: { deviceId: 'Device:<uuid>', to: '+491701234567', body: 'Hello', idempotencyKey: 'first-1' } },
  null,
  2,
);

const OPTIONS: GraphiQLOptions = {
  title: 'Flotilla GraphiQL',
  defaultTabs: EXAMPLES.map((query, at) => ({ query, headers: HEADERS, ...(at === 2 ? { variables: SEND_VARIABLES } : {}) })),
  defaultHeaders: HEADERS,
  headers: HEADERS,
  subscriptionsProtocol: 'SSE',
  shouldPersistHeaders: true,
};

export interface GraphiqlPage {
  readonly html: Buffer;
  readonly gzipped: Buffer;
}

/**
 * The page with all its scripts inside (9 MB, 2.5 MB gzipped): nothing is fetched from elsewhere. Made on the first request for it and
 * kept. Null where the package is not installed.
 */
export function createGraphiql(): () => Promise<GraphiqlPage | null> {
  let page: Promise<GraphiqlPage | null> | undefined;
  const make = async (): Promise<GraphiqlPage | null> => {
    const renderer = await import('@graphql-yoga/render-graphiql').catch(() => null);
    if (renderer === null) return null;
    const html = Buffer.from(renderer.renderGraphiQL(OPTIONS));
    return { html, gzipped: await promisify(gzip)(html) };
  };
  return () => {
    page ??= make();
    return page;
  };
}
