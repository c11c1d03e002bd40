import type { GraphQLSchema } from 'graphql';
import { addAudit } from './audit/index.ts';
import { createKit } from './builder.ts';
import { addDeadLetter } from './dead-letter/index.ts';
import { addDevice } from './device/index.ts';
import { addFleet } from './fleet/index.ts';
import { addFlow } from './flow/index.ts';
import { addLive } from './live/index.ts';
import { addMessage } from './message/index.ts';
import { addNode } from './node/index.ts';
import { addPairing } from './pairing/index.ts';
import { addReceived } from './received/index.ts';
import { addReport } from './report/index.ts';
import { addTenant } from './tenant/index.ts';
import { addUserError } from './user-error.ts';
import { addViewer } from './viewer/index.ts';
import { addWebhook } from './webhook/index.ts';

/** Builds the whole schema. Pure: no connections, no state; call it once per process. */
export function buildSchema(): GraphQLSchema {
  const kit = createKit();
  kit.builder.queryType({ description: 'Reads.' });
  kit.builder.mutationType({ description: 'Changes. Each takes one `input` and answers with a payload that holds `errors`.' });
  for (const add of [
    addUserError,
    addViewer,
    addTenant,
    addAudit,
    addDevice,
    addMessage,
    addDeadLetter,
    addFlow,
    addNode,
    addFleet,
    addLive,
    addPairing,
    addReceived,
    addWebhook,
    addReport,
  ])
    add(kit);
  return kit.builder.toSchema();
}
