import SchemaBuilder from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import RelayPlugin from '@pothos/plugin-relay';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import { GraphQLError } from 'graphql';
import { type DeviceState, durationQuantile, isUuid } from '../domain/index.ts';
import type { ReportCounts } from '../sql/index.ts';
import type { DeviceRow, LedgerMessage } from '../sql/types.ts';
import type { ApiKeyEntry, AuditRow, DeadLetterRow, FleetTotals, GraphqlContext, NodeRow, Scope, TenantRow, Viewer } from './context.ts';
import { allows } from './context.ts';
import type { UserErrorShape } from './problems.ts';
import { DEVICE_STATE_MEANING, MESSAGE_STATE_MEANING, NODE_STATE_MEANING } from './words.ts';

export interface StateCountShape {
  readonly state: DeviceState;
  readonly count: number;
}
export interface SendabilityShape {
  readonly canSend: boolean;
  readonly reasons: readonly string[];
  /** wall ms */
  readonly until: number | null;
  readonly backlog: number;
  /** wall ms */
  readonly nextSendAt: number | null;
}

interface Types {
  Context: GraphqlContext;
  DefaultFieldNullability: false;
  DefaultEdgesNullability: { list: false; items: false };
  DefaultNodeNullability: false;
  AuthScopes: { scope: Scope; installation: boolean };
  Scalars: {
    ID: { Input: string; Output: string };
    /** wall ms inside, ISO 8601 outside */
    DateTime: { Input: number; Output: number };
  };
  /** types that more than one folder names; a folder may keep refs of its own too */
  Objects: {
    Viewer: Viewer;
    Tenant: TenantRow;
    ApiKey: ApiKeyEntry;
    AuditEntry: AuditRow;
    Device: DeviceRow;
    Sendability: SendabilityShape;
    Message: LedgerMessage;
    ActorNode: NodeRow;
    Fleet: FleetTotals & { readonly states: readonly StateCountShape[] };
    StateCount: StateCountShape;
    DeadLetter: DeadLetterRow;
    UserError: UserErrorShape;
    ReportTotal: ReportCounts;
  };
}

/** `Type:uuid`, plain text, so that ids can be read and compared with the ledger's. */
export function encodeId(typename: string, id: string | number | bigint): string {
  return `${typename}:${String(id)}`;
}

/** Accepts `Type:id` and a bare uuid (typename '' then: the caller knows which type it expects). */
export function decodeId(text: string): { typename: string; id: string } {
  const colon = text.indexOf(':');
  if (colon > 0) return { typename: text.slice(0, colon), id: text.slice(colon + 1) };
  return { typename: '', id: text };
}

/** The uuid in an id argument of the given type, or null when it is malformed or of another type. */
export function uuidOf(typename: string, text: string): string | null {
  const decoded = decodeId(text);
  if (decoded.typename !== '' && decoded.typename !== typename) return null;
  const id = decoded.id.toLowerCase();
  return isUuid(id) ? id : null;
}

/** What `node` can look up. */
const NODE_TYPES: ReadonlySet<string> = new Set(['Device', 'Message', 'Tenant']);

const ISO = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;
function parseDateTime(value: unknown): number {
  const at = typeof value === 'string' && ISO.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(at)) {
    throw new GraphQLError('DateTime: expected ISO 8601 with a zone, such as 2030-01-31T09:30:00Z', {
      extensions: { code: 'INVALID_INPUT' },
    });
  }
  return at;
}

function createPothos() {
  return new SchemaBuilder<Types>({
    plugins: [ScopeAuthPlugin, RelayPlugin, ComplexityPlugin],
    defaultFieldNullability: false,
    // read as metadata by gateway/graphql's validator; not enforced a second time inside resolvers
    complexity: { disabled: true, defaultListMultiplier: 1 },
    scopeAuth: {
      authorizeOnSubscribe: true,
      authScopes: (context) => ({
        scope: (needed: Scope) => allows(context.viewer, needed),
        installation: context.viewer.installation,
      }),
      unauthorizedError: () =>
        new GraphQLError('this key may not do that: a higher scope is needed', { extensions: { code: 'FORBIDDEN' } }),
    },
    relay: {
      encodeGlobalID: encodeId,
      decodeGlobalID: decodeId,
      clientMutationId: 'omit',
      cursorType: 'String',
      nodesOnConnection: { description: 'The rows themselves, without their cursors.' },
      nodesQueryOptions: false,
      nodeTypeOptions: { description: 'Anything that has an id of the form `Type:uuid`.' },
      nodeQueryOptions: {
        description: 'Looks an object up by its id. Null when there is none or it belongs to someone else.',
        nullable: true,
        authScopes: { scope: 'viewer' },
        args: { id: { description: 'an id of the form `Type:uuid`' } },
        resolve: (_root, { id }, _context, _info, resolveNode) => {
          if (!NODE_TYPES.has(id.typename)) {
            throw new GraphQLError('id: expected an id of the form Type:uuid', { extensions: { code: 'INVALID_ID', path: ['id'] } });
          }
          return resolveNode(id);
        },
      },
      idFieldOptions: { description: 'The id, of the form `Type:uuid`.' },
      pageInfoTypeOptions: { description: 'Where a page stands in its list.' },
      hasNextPageFieldOptions: { description: 'There are more after this page.' },
      hasPreviousPageFieldOptions: { description: 'There are more before this page.' },
      startCursorFieldOptions: { description: 'Cursor of the first edge.', nullable: true },
      endCursorFieldOptions: { description: 'Cursor of the last edge: give it as `after` for the next page.', nullable: true },
      firstArgOptions: { description: 'how many, 1 to 500; 50 when not given' },
      lastArgOptions: { description: 'not supported: page forward with `first` and `after`' },
      afterArgOptions: { description: 'cursor of the last edge already seen' },
      beforeArgOptions: { description: 'not supported: page forward with `first` and `after`' },
      pageInfoFieldOptions: { description: 'Where this page stands in the list.' },
      cursorFieldOptions: { description: 'Cursor of this edge.' },
      nodeFieldOptions: { description: 'The object itself.' },
      edgesFieldOptions: { description: 'The objects of this page with their cursors.' },
      defaultConnectionTypeOptions: { description: 'A page of a list.' },
      defaultEdgeTypeOptions: { description: 'One place in a list.' },
    },
  });
}
export type Builder = ReturnType<typeof createPothos>;

function described<K extends string>(meanings: Readonly<Record<K, string>>) {
  return Object.fromEntries(Object.entries<string>(meanings).map(([name, description]) => [name, { value: name, description }])) as {
    readonly [N in K]: { readonly value: N; readonly description: string };
  };
}

/**
 * The builder and the enums every folder shares. A domain folder exports `addX(kit)`, which defines its types and root fields;
 * `buildSchema` calls them all. Nothing is kept at module level, so a schema can be built as often as wanted.
 */
export function createKit() {
  const builder = createPothos();
  builder.scalarType('DateTime', {
    description: 'A moment, ISO 8601 with a zone: 2030-01-31T09:30:00Z.',
    serialize: (value) => new Date(value).toISOString(),
    parseValue: parseDateTime,
  });
  return {
    builder,
    Durations: builder.objectRef<readonly number[]>('Durations').implement({
      description:
        'How long something took, ms, from counts by class: each is off by at most a factor of 1.41. Null when nothing was counted.',
      fields: (t) => ({
        count: t.int({ description: 'How many were counted.', resolve: (counts) => counts.reduce((sum, count) => sum + count, 0) }),
        p50: t.float({ nullable: true, description: 'Half took no longer.', resolve: (counts) => durationQuantile(counts, 0.5) }),
        p95: t.float({ nullable: true, description: '95 % took no longer.', resolve: (counts) => durationQuantile(counts, 0.95) }),
        p99: t.float({ nullable: true, description: '99 % took no longer.', resolve: (counts) => durationQuantile(counts, 0.99) }),
      }),
    }),
    MessageState: builder.enumType('MessageState', {
      description: 'Where a message stands. It only moves forward; SENT and further is proof that the provider took it.',
      values: described(MESSAGE_STATE_MEANING),
    }),
    DeviceState: builder.enumType('DeviceState', {
      description: 'What a device is doing. ONLINE, SENDING and THROTTLED count as connected.',
      values: described(DEVICE_STATE_MEANING),
    }),
    NodeState: builder.enumType('NodeState', { description: 'Life of an actor node.', values: described(NODE_STATE_MEANING) }),
    Lane: builder.enumType('Lane', {
      description: 'Priority inside one device: CONTROL before HIGH before NORMAL. Order is kept inside a lane.',
      values: {
        CONTROL: { value: 'control', description: 'Before everything else.' },
        HIGH: { value: 'high', description: 'Direct messages and campaigns.' },
        NORMAL: { value: 'normal', description: 'Sequences.' },
      } as const,
    }),
    PaceProfile: builder.enumType('PaceProfile', {
      description: 'A pace that fits most.',
      values: {
        CAREFUL: { value: 'CAREFUL', description: 'A message every 20 to 60 s: new numbers, people who seldom answer.' },
        NORMAL: { value: 'NORMAL', description: 'Every 5 to 15 s.' },
        BRISK: { value: 'BRISK', description: 'Every 2 to 6 s: people who wait for these messages.' },
      } as const,
    }),
    Transport: builder.enumType('Transport', {
      description: 'How a device reaches the network.',
      values: {
        SIMULATOR: { value: 'simulator', description: 'A simulated phone.' },
        LINK: { value: 'link', description: "A device that dials in over the gateway's /link socket." },
        WHATSAPP: { value: 'whatsapp', description: 'A WhatsApp linked device.' },
      } as const,
    }),
    Scope: builder.enumType('Scope', {
      description: 'What a key may do. Each includes those before it.',
      values: {
        SCREEN: { value: 'screen', description: 'Fleet figures and device states: for walls.' },
        VIEWER: { value: 'viewer', description: 'Reads everything.' },
        SENDER: { value: 'sender', description: 'Queues and cancels messages.' },
        OPERATOR: { value: 'operator', description: 'Devices, dead letters, suppression.' },
        ADMIN: { value: 'admin', description: 'Keys; with the installation’s own key also tenants.' },
      } as const,
    }),
  };
}
export type Kit = ReturnType<typeof createKit>;
