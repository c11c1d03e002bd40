import type { Figure } from '../ops/report/index.ts';
import type { Profile } from './profiles.ts';

/** The part of k6's end-of-test data (handleSummary) that is used. */
export interface K6Summary {
  readonly metrics: Readonly<
    Record<
      string,
      { readonly values: Readonly<Record<string, number>>; readonly thresholds?: Readonly<Record<string, { readonly ok: boolean }>> }
    >
  >;
}

export interface LoadReport {
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, Figure>>;
  readonly targets: Readonly<Record<string, Figure>>;
  readonly rows: readonly (readonly Figure[])[];
}

/** A generator that was late by more than this measured itself: its run is void, not slow. */
const GENERATOR_LAG_P99_MS = 100;

/** Sends the generator could not make in time, as a share of those planned; above it the run is void too. */
const DROPPED_SHARE = 0.01;

const COUNTS = [
  'devices_welcomed',
  'devices_returned',
  'devices_sent_away',
  'messages_accepted',
  'messages_refused',
  'messages_arrived',
  'messages_repeated',
  'messages_disordered',
  'acks_confirmed',
  'sockets_broken',
  'fleet_snapshots',
  'fleet_deltas',
  'fleet_gaps',
  'message_events',
  'dropped_iterations',
];
const TRENDS = ['accept_ms', 'delivery_ms', 'ack_ms', 'welcome_ms', 'storm_welcome_ms', 'storm_delivery_ms', 'generator_lag_ms'];

/** Figures, targets and a table out of k6's summary. `ok` = every threshold held and the run is not void. */
export function figuresOf(summary: K6Summary, profile: Profile): LoadReport {
  const figures: Record<string, Figure> = {};
  for (const name of COUNTS) figures[name] = summary.metrics[name]?.values['count'] ?? 0;
  for (const name of TRENDS) {
    const values = summary.metrics[name]?.values;
    if (values === undefined && name.startsWith('storm_')) continue;
    for (const [label, key] of [
      ['p50', 'med'],
      ['p99', 'p(99)'],
      ['max', 'max'],
    ] as const) {
      const value = values?.[key];
      figures[`${name}_${label}`] = value === undefined ? null : Math.round(value * 10) / 10;
    }
  }
  const lag = figures['generator_lag_ms_p99'];
  const dropped = Number(figures['dropped_iterations']);
  const isVoid =
    typeof lag !== 'number' || lag > GENERATOR_LAG_P99_MS || dropped > DROPPED_SHARE * profile.seconds * profile.messagesPerSecond;
  const lost = Number(figures['messages_accepted']) - Number(figures['messages_arrived']);
  const unconfirmed = Number(figures['messages_arrived']) - Number(figures['acks_confirmed']);
  figures['messages_lost'] = lost;
  figures['acks_unconfirmed'] = unconfirmed;
  figures['void'] = isVoid;
  const targets: Record<string, Figure> = { messages_lost: 0, acks_unconfirmed: 0, generator_lag_ms_p99: `<=${GENERATOR_LAG_P99_MS}` };
  const missed: string[] = [...(lost === 0 ? [] : ['messages_lost: 0']), ...(unconfirmed === 0 ? [] : ['acks_unconfirmed: 0'])];
  for (const [name, metric] of Object.entries(summary.metrics)) {
    for (const [bound, { ok }] of Object.entries(metric.thresholds ?? {})) {
      targets[name] = bound;
      if (!ok) missed.push(`${name}: ${bound}`);
    }
  }
  figures['thresholds_missed'] = missed.length;
  const rows: Figure[][] = [['figure', 'value', 'threshold', 'held']];
  for (const [name, value] of Object.entries(figures)) {
    const bound = targets[name] ?? targets[name.replace(/_p99$/, '')];
    const held = bound === undefined ? '' : missed.some((line) => line.startsWith(`${name.replace(/_p99$/, '')}:`)) ? 'NO' : 'yes';
    rows.push([name, String(value ?? '—'), String(bound ?? ''), held]);
  }
  rows.push(['devices, seconds, messages/s', `${profile.devices}, ${profile.seconds}, ${profile.messagesPerSecond}`, '', '']);
  return { ok: missed.length === 0 && !isVoid, figures, targets, rows };
}
