import { addCounts } from '../../sql/index.ts';
import type { Kit } from '../builder.ts';
import type { HistoryGrain, HistoryPoint } from '../context.ts';

const SPANS = {
  HOUR: { grain: 60, steps: 60 },
  DAY: { grain: 3600, steps: 24 },
} as const satisfies Record<string, { readonly grain: HistoryGrain; readonly steps: number }>;
export type HistorySpan = keyof typeof SPANS;

const NOTHING = { sent: 0, delivered: 0, failed: 0 } as const;

type Counts = Omit<HistoryPoint, 'startMs' | 'backlog'>;
export interface HistoryShape {
  readonly stepSeconds: number;
  readonly points: readonly HistoryPoint[];
}

/** Where the history of a span that ends now begins: a whole step, so that the present one, which is not over, is the last. Pure. */
export function historyStart(span: HistorySpan, now: number): { readonly grain: HistoryGrain; readonly fromMs: number } {
  const { grain, steps } = SPANS[span];
  const stepMs = grain * 1000;
  return { grain, fromMs: now - (now % stepMs) - (steps - 1) * stepMs };
}

/** Every step of the span, those without traffic too. Pure. */
export function fillHistory(span: HistorySpan, now: number, known: readonly HistoryPoint[]): HistoryShape {
  const { grain, fromMs } = historyStart(span, now);
  const byStart = new Map(known.map((point) => [point.startMs, point]));
  const nothing = addCounts(NOTHING, NOTHING);
  const points = Array.from({ length: SPANS[span].steps }, (_, step): HistoryPoint => {
    const startMs = fromMs + step * grain * 1000;
    return byStart.get(startMs) ?? { ...nothing, startMs, backlog: null };
  });
  return { stepSeconds: grain, points };
}

/** Share of ended attempts that the provider took; null when none has ended. Pure. */
export function successRate({ sent, failed }: Pick<Counts, 'sent' | 'failed'>): number | null {
  return sent + failed === 0 ? null : sent / (sent + failed);
}

export function addFleetHistory(kit: Kit) {
  const { builder } = kit;
  const Span = builder.enumType('HistorySpan', {
    description: 'How far back a history goes.',
    values: {
      HOUR: { value: 'HOUR', description: 'The last 60 minutes, minute by minute.' },
      DAY: { value: 'DAY', description: 'The last 24 hours, hour by hour.' },
    } as const,
  });
  const { Durations } = kit;
  const Traffic = builder.interfaceRef<Counts>('Traffic').implement({
    description: 'What happened in a time.',
    fields: (t) => ({
      accepted: t.exposeInt('accepted', { description: 'Messages accepted.' }),
      sent: t.exposeInt('sent', { description: 'Messages the provider took.' }),
      delivered: t.exposeInt('delivered', { description: 'Messages that reached their recipient.' }),
      failed: t.exposeInt('failed', { description: 'Messages that failed or died.' }),
      successRate: t.float({
        nullable: true,
        description: 'sent / (sent + failed), 0 to 1; null when nothing was sent or failed.',
        resolve: successRate,
      }),
      processing: t.field({
        type: Durations,
        description: 'From the start of an attempt to its recorded outcome.',
        resolve: (row) => row.processing,
      }),
      latency: t.field({
        type: Durations,
        description: 'From the acceptance of a message to the provider’s word that it took it: pace and schedule included.',
        resolve: (row) => row.latency,
      }),
    }),
  });
  const Point = builder.objectRef<HistoryPoint>('FleetHistoryPoint').implement({
    description: 'One step of a history.',
    interfaces: [Traffic],
    fields: (t) => ({
      at: t.field({ type: 'DateTime', description: 'When the step began.', resolve: (point) => point.startMs }),
      backlog: t.int({
        nullable: true,
        description: 'Queue depth: the most messages that were accepted and not yet ended, of one sample a minute; null = no sample.',
        resolve: (point) => point.backlog,
      }),
    }),
  });
  const Total = builder.objectRef<Counts>('TrafficTotal').implement({
    description: 'A whole span in figures.',
    interfaces: [Traffic],
  });
  const History = builder.objectRef<HistoryShape>('FleetHistory').implement({
    description:
      'What a fleet did, step by step. Counted by nodes and gateways as it happens: a process that is killed takes its last few seconds with it.',
    fields: (t) => ({
      stepSeconds: t.exposeInt('stepSeconds', { description: 'Length of a step.' }),
      points: t.field({
        type: [Point],
        description: 'Oldest first; the last one is not over yet.',
        resolve: (history) => [...history.points],
      }),
      total: t.field({
        type: Total,
        description: 'All steps together.',
        resolve: ({ points }) => points.reduce<Counts>((sum, point) => addCounts(sum, point), addCounts(NOTHING, NOTHING)),
      }),
    }),
  });
  return { Span, History };
}
