import { GraphQLError } from 'graphql';
import type { DeadLetterFilter } from '../../sql/index.ts';
import { type Kit, uuidOf } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { problem, type UserErrorShape } from '../problems.ts';

const CAUSES_LIMIT = 100;
const DEVICES_LIMIT = 1000;
const CAUSE_LENGTH = 100;

export interface FilterInput {
  readonly states?: readonly ('DEAD' | 'FAILED')[] | null | undefined;
  readonly causes?: readonly string[] | null | undefined;
  readonly deviceIds?: readonly (string | number)[] | null | undefined;
  readonly campaignId?: string | number | null | undefined;
  readonly sequenceId?: string | number | null | undefined;
  readonly since?: number | null | undefined;
  readonly until?: number | null | undefined;
}

export function filterInput({ builder }: Kit) {
  const State = builder.enumType('DeadLetterState', {
    description: 'How a message ended that can be put back.',
    values: {
      DEAD: { value: 'DEAD', description: 'All attempts are used up, or a person has to decide.' },
      FAILED: { value: 'FAILED', description: 'The provider refused it for good.' },
    } as const,
  });
  const Filter = builder.inputType('DeadLetterFilterInput', {
    description: 'Which dead letters: all that is given must hold. Empty = all of the tenant.',
    fields: (t) => ({
      states: t.field({ type: [State], required: false, description: 'that ended so' }),
      causes: t.stringList({
        required: false,
        description: `that ended for one of these causes, 1 to ${CAUSES_LIMIT}: see deadLetterGroups`,
      }),
      deviceIds: t.idList({ required: false, description: `of these devices, 1 to ${DEVICES_LIMIT}` }),
      campaignId: t.id({ required: false, description: 'of this campaign' }),
      sequenceId: t.id({ required: false, description: 'of this sequence' }),
      since: t.field({ type: 'DateTime', required: false, description: 'that ended then or later' }),
      until: t.field({ type: 'DateTime', required: false, description: 'that ended before' }),
    }),
  });
  return { State, Filter };
}

/** A filter as it was given, read and checked: what it names must be the tenant's. */
export async function readFilter(
  path: readonly string[],
  input: FilterInput,
  context: GraphqlContext,
): Promise<{ readonly filter: DeadLetterFilter; readonly faults: readonly UserErrorShape[] }> {
  const faults: UserErrorShape[] = [];
  const { tenantId } = context.viewer;
  const add = (field: string, message: string, code: UserErrorShape['code'] = 'INVALID_INPUT'): void =>
    void faults.push(problem(code, [...path, field], message));
  const count = (field: string, values: readonly unknown[] | null | undefined, most: number): void => {
    if (values !== null && values !== undefined && (values.length === 0 || values.length > most))
      add(field, `expected 1 to ${most}, got ${values.length}`);
  };
  count('states', input.states, 2);
  count('causes', input.causes, CAUSES_LIMIT);
  count('deviceIds', input.deviceIds, DEVICES_LIMIT);
  if (input.causes?.some((cause) => cause.length === 0 || cause.length > CAUSE_LENGTH || cause.includes('\u0000')))
    add('causes', `expected causes of 1 to ${CAUSE_LENGTH} characters`);
  const { since = null, until = null, campaignId = null, sequenceId = null } = input;
  if (since !== null && until !== null && until <= since) add('until', 'expected a moment after `since`');
  if (campaignId !== null && sequenceId !== null) add('sequenceId', 'expected a campaign or a sequence, not both');
  const idOf = (typename: string, field: string, text: string | number): string => {
    const id = uuidOf(typename, String(text));
    if (id === null) add(field, `expected an id of a ${typename}, such as ${typename}:<uuid>`, 'INVALID_ID');
    return id ?? '';
  };
  const deviceIds = input.deviceIds?.slice(0, DEVICES_LIMIT).map((id) => idOf('Device', 'deviceIds', id)) ?? null;
  const flowId =
    campaignId !== null
      ? idOf('Campaign', 'campaignId', campaignId)
      : sequenceId === null
        ? null
        : idOf('Sequence', 'sequenceId', sequenceId);
  let flowNo: number | null = null;
  if (faults.length === 0) {
    if (deviceIds !== null) {
      const wanted = new Set(deviceIds);
      const known = await context.ledger.devicesByIds(tenantId, [...wanted]);
      if (known.length < wanted.size) add('deviceIds', 'expected devices of this tenant', 'DEVICE_NOT_FOUND');
    }
    if (flowId !== null) {
      const kind = campaignId === null ? 'SEQUENCE' : 'CAMPAIGN';
      const flow = await context.flows.byId(tenantId, kind, flowId);
      if (flow === null) {
        const field = campaignId === null ? 'sequenceId' : 'campaignId';
        add(field, `no ${kind.toLowerCase()} with this id in this tenant`, `${kind}_NOT_FOUND`);
      } else flowNo = flow.no;
    }
  }
  const { states = null, causes = null } = input;
  return { filter: { states, causes, deviceIds, flowNo, since, until }, faults };
}

/** The same for a query's argument. @throws GraphQLError naming the field */
export async function filterArgument(input: FilterInput | null | undefined, context: GraphqlContext): Promise<DeadLetterFilter> {
  const { filter, faults } = await readFilter(['filter'], input ?? {}, context);
  const [fault] = faults;
  if (fault === undefined) return filter;
  throw new GraphQLError(`${fault.path.join('.')}: ${fault.message}`, { extensions: { code: fault.code, path: fault.path } });
}
