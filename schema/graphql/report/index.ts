import { addReportCounts, type FlowKind, type FlowRow, NO_COUNTS, type ReportCounts } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { GraphqlContext } from '../context.ts';
import { argumentError, argumentId } from '../validate.ts';
import type { QueueDepth, ReportAsk, ReportCause, ReportGrain, ReportStep } from './port.ts';

/** What one asks for, checked. */
export interface ReportRange {
  readonly grain: ReportGrain;
  readonly fromMs: number;
  readonly untilMs: number;
}
/** steps of one report: a day of minutes, 60 days of hours */
export const REPORT_STEPS_LIMIT = 1500;
const CAUSES_LIMIT = 100;
/** without `since`: so many steps up to now */
const DEFAULT_STEPS: Readonly<Record<ReportGrain, number>> = { 60: 60, 3600: 24, 86400: 30 };

/** The steps that a range covers, or what is wrong with it (of `since` or `until`). Pure. */
export function reportRange(
  grain: ReportGrain,
  since: number | null,
  until: number | null,
  now: number,
): ReportRange | { readonly name: 'since' | 'until'; readonly expected: string } {
  const stepMs = grain * 1000;
  const untilMs = until ?? Math.floor(now / stepMs) * stepMs + stepMs;
  const fromMs = Math.floor((since ?? untilMs - DEFAULT_STEPS[grain] * stepMs) / stepMs) * stepMs;
  if (untilMs <= fromMs) return { name: since === null ? 'until' : 'since', expected: 'expected `since` before `until`' };
  if (untilMs - fromMs > REPORT_STEPS_LIMIT * stepMs)
    return { name: 'since', expected: `expected at most ${REPORT_STEPS_LIMIT} steps: ask for a shorter time or a longer grain` };
  return { grain, fromMs, untilMs };
}

interface ReportShape {
  readonly tenantId: string;
  readonly ask: ReportAsk;
  readonly flow: FlowRow | null;
  readonly device: QueueDepth | null;
  readonly nodeId: string | null;
  readonly steps: readonly ReportStep[];
}
interface Args {
  readonly deviceId?: string | null | undefined;
  readonly campaignId?: string | null | undefined;
  readonly sequenceId?: string | null | undefined;
  readonly nodeId?: string | null | undefined;
}

/** Null: the tenant has nothing of that id. */
async function subjectOf(args: Args, context: GraphqlContext): Promise<Pick<ReportShape, 'flow' | 'device' | 'nodeId'> | null> {
  const { tenantId } = context.viewer;
  const none = { flow: null, device: null, nodeId: null };
  const flowOf = async (kind: FlowKind, id: string) => {
    const flow = await context.flows.byId(tenantId, kind, id);
    return flow === null ? null : { ...none, flow };
  };
  if (typeof args.deviceId === 'string') {
    const [device] = await context.reports.depths(tenantId, { deviceId: argumentId('Device', 'deviceId', args.deviceId) });
    return device === undefined ? null : { ...none, device };
  }
  if (typeof args.campaignId === 'string') return flowOf('CAMPAIGN', argumentId('Campaign', 'campaignId', args.campaignId));
  if (typeof args.sequenceId === 'string') return flowOf('SEQUENCE', argumentId('Sequence', 'sequenceId', args.sequenceId));
  return { ...none, nodeId: args.nodeId ?? null };
}

function askOf(subject: Pick<ReportShape, 'flow' | 'device' | 'nodeId'>, range: ReportRange): ReportAsk {
  if (subject.flow !== null) return { kind: 'FLOW', subject: String(subject.flow.no), ...range };
  if (subject.device !== null) return { kind: 'DEVICE', subject: String(subject.device.no), ...range };
  if (subject.nodeId !== null) return { kind: 'NODE', subject: subject.nodeId, ...range };
  return { kind: 'FLEET', subject: '', ...range };
}

/** Messages accepted and not yet ended; of a campaign or sequence: those of its leads whose message is in the ledger. */
async function depthOf({ tenantId, flow, device, nodeId }: ReportShape, context: GraphqlContext): Promise<number> {
  if (flow !== null) return (await context.flows.progress([flow.no])).find(({ place }) => place === 'SENDING')?.leads ?? 0;
  if (device !== null) return device.depth;
  if (nodeId === null) return (await context.fleet.totals(tenantId)).backlog;
  return (await context.reports.depths(tenantId, { node: nodeId })).reduce((sum, one) => sum + one.depth, 0);
}

function countTypes({ builder, Durations }: Kit) {
  const Counts = builder.interfaceRef<ReportCounts>('ReportCounts').implement({
    description: 'What became of messages in a time. Each change counts when it was recorded.',
    fields: (t) => ({
      sent: t.exposeInt('sent', { description: 'Proven sent.' }),
      delivered: t.exposeInt('delivered', { description: 'Proven delivered.' }),
      read: t.exposeInt('read', { description: 'Proven read.' }),
      failed: t.exposeInt('failed', { description: 'Failed for good.' }),
      dead: t.exposeInt('dead', { description: 'Given up: dead letters.' }),
      cancelled: t.exposeInt('cancelled', { description: 'Taken back by a person, or by a pause to be planned anew (FLOW_PAUSED).' }),
      suppressed: t.exposeInt('suppressed', { description: 'Not sent, because the recipient is not to be messaged.' }),
      retried: t.exposeInt('retried', { description: 'Attempts that failed and were to be made again.' }),
      takenBack: t.exposeInt('takenBack', {
        description:
          'Bad ends that did not last: redriven, or proven sent after all. failed + dead + cancelled + suppressed - takenBack = those that hold.',
      }),
      successRate: t.float({
        nullable: true,
        description: 'sent / (sent + failed + dead), 0 to 1; null when nothing ended so.',
        resolve: ({ sent, failed, dead }) => (sent + failed + dead === 0 ? null : sent / (sent + failed + dead)),
      }),
      processing: t.field({
        type: Durations,
        description: 'From the start of an attempt to its recorded outcome.',
        resolve: (counts) => counts.processing,
      }),
      latency: t.field({
        type: Durations,
        description: 'From the acceptance of a message to the proof that it was sent: pace and schedule included.',
        resolve: (counts) => counts.latency,
      }),
    }),
  });
  const Step = builder.objectRef<ReportStep>('ReportStep').implement({
    description: 'One step of a report.',
    interfaces: [Counts],
    fields: (t) => ({ at: t.field({ type: 'DateTime', description: 'When the step began.', resolve: (step) => step.startMs }) }),
  });
  builder.objectType('ReportTotal', { description: 'All steps together.', interfaces: [Counts] });
  const Cause = builder.objectRef<ReportCause>('ReportCause').implement({
    description: 'Why messages did not go.',
    fields: (t) => ({
      outcome: t.exposeString('outcome', { description: 'FAILED, DEAD, CANCELLED, SUPPRESSED or RETRIED.' }),
      cause: t.exposeString('cause', { description: 'The cause; OTHER when it is no name.' }),
      messages: t.exposeInt('messages', { description: 'How many.' }),
    }),
  });
  return { Step, Cause };
}

function reportType(kit: Kit) {
  const { Step, Cause } = countTypes(kit);
  return kit.builder.objectRef<ReportShape>('Report').implement({
    description:
      'What became of the messages of a fleet, a device, a campaign or sequence, or a node, step by step. From rollups that are some 15 s behind; counted since the ' +
      'version that brought reports.',
    fields: (t) => ({
      about: t.id({
        nullable: true,
        description: 'Id of what it is about; null = the fleet.',
        resolve: ({ flow, device, nodeId }) => {
          if (flow !== null) return `${flow.kind === 'CAMPAIGN' ? 'Campaign' : 'Sequence'}:${flow.id}`;
          return device === null ? nodeId : `Device:${device.id}`;
        },
      }),
      name: t.string({
        nullable: true,
        description: 'Its name.',
        resolve: ({ flow, device, nodeId }) => flow?.name ?? device?.name ?? nodeId,
      }),
      stepSeconds: t.int({ description: 'Length of a step.', resolve: ({ ask }) => ask.grain }),
      since: t.field({ type: 'DateTime', description: 'Where the first step begins.', resolve: ({ ask }) => ask.fromMs }),
      until: t.field({ type: 'DateTime', description: 'Steps that begin then or later are left out.', resolve: ({ ask }) => ask.untilMs }),
      steps: t.field({
        type: [Step],
        description: 'Oldest first; steps in which nothing happened are left out.',
        complexity: { field: 5, multiplier: 2 },
        resolve: (report) => [...report.steps],
      }),
      total: t.field({
        type: 'ReportTotal',
        description: 'All steps together.',
        resolve: ({ steps }) => steps.reduce<ReportCounts>((sum, step) => addReportCounts(sum, step), NO_COUNTS),
      }),
      causes: t.field({
        type: [Cause],
        description: `Why messages did not go, the most frequent first, at most ${CAUSES_LIMIT}.`,
        complexity: 5,
        resolve: async ({ tenantId, ask }, _args, context) => [...(await context.reports.causes(tenantId, ask, CAUSES_LIMIT))],
      }),
      queueDepth: t.int({
        description: 'Messages accepted and not yet ended, now. Of a campaign or sequence: leads whose message waits or is under way.',
        complexity: 10,
        resolve: (report, _args, context) => depthOf(report, context),
      }),
    }),
  });
}

/** Reports: campaign summary, device report, status of nodes. */
export function addReport(kit: Kit): void {
  const { builder } = kit;
  const Report = reportType(kit);
  const Grain = builder.enumType('ReportGrain', {
    description:
      'Length of a step. Minutes of devices are kept for 3 hours, hours for 14 days; of all else minutes for 2 days, hours for 90; days for more than a year.',
    values: {
      MINUTE: { value: 60, description: 'Minutes.' },
      HOUR: { value: 3600, description: 'Hours.' },
      DAY: { value: 86_400, description: 'Days of UTC.' },
    } as const,
  });
  builder.queryField('reports', (t) =>
    t.field({
      type: Report,
      nullable: true,
      description:
        'A report about one thing of the tenant, or about its whole fleet when no id is given. Null when there is no such thing or it belongs to someone else. ' +
        'As files: GET /api/reports/{fleet,devices,campaigns,nodes}.csv. Scope VIEWER.',
      authScopes: { scope: 'viewer' },
      complexity: 20,
      args: {
        campaignId: t.arg.id({ required: false, description: 'about this campaign' }),
        sequenceId: t.arg.id({ required: false, description: 'about this sequence' }),
        deviceId: t.arg.id({ required: false, description: 'about this device' }),
        nodeId: t.arg.id({ required: false, description: 'about this node: what it did for the tenant' }),
        grain: t.arg({ type: Grain, required: true, defaultValue: 3600, description: 'length of a step' }),
        since: t.arg({
          type: 'DateTime',
          required: false,
          description: 'from the step that holds this moment; else 60 minutes, 24 hours or 30 days',
        }),
        until: t.arg({ type: 'DateTime', required: false, description: 'up to this moment; now when left out' }),
      },
      resolve: async (_root, args, context): Promise<ReportShape | null> => {
        const { tenantId } = context.viewer;
        const ids = [args.campaignId, args.sequenceId, args.deviceId, args.nodeId].filter((id) => id !== null && id !== undefined);
        if (ids.length > 1) throw argumentError('INVALID_INPUT', 'deviceId', 'expected at most one id: a report is about one thing');
        const range = reportRange(args.grain, args.since ?? null, args.until ?? null, context.now());
        if ('expected' in range) throw argumentError('INVALID_INPUT', range.name, range.expected);
        const subject = await subjectOf(args, context);
        if (subject === null) return null;
        const ask = askOf(subject, range);
        const steps = await context.reports.steps(tenantId, ask, REPORT_STEPS_LIMIT);
        // a node that is long gone has figures still
        const { nodeId } = subject;
        if (nodeId !== null && steps.length === 0 && !(await context.fleet.nodes()).some(({ id }) => id === nodeId)) return null;
        return { tenantId, ask, ...subject, steps };
      },
    }),
  );
}
