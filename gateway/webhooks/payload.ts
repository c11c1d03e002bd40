import { encodeId } from '../../schema/graphql/index.ts';
import type { DueEvent, DueLane } from '../../schema/sql/index.ts';

/** What a receiver gets of an event. Ids are those of the API. */
export interface EventPayload {
  readonly type: string;
  /** ISO 8601: when it happened */
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export function payloadOf(event: DueEvent): EventPayload {
  const { type, flow, detail } = event;
  const about: Record<string, unknown> = { id: `evt_${event.no}` };
  if (event.messageId !== null) {
    about['messageId'] = encodeId('Message', event.messageId);
    about['to'] = event.recipient;
  }
  if (event.deviceId !== null) {
    about['deviceId'] = encodeId('Device', event.deviceId);
    about['device'] = event.deviceName;
  }
  if (event.inboundId !== null) Object.assign(about, { inboundId: event.inboundId, from: event.sender, body: event.body });
  if (flow !== null) {
    about[flow.kind === 'CAMPAIGN' ? 'campaignId' : 'sequenceId'] = encodeId(flow.kind === 'CAMPAIGN' ? 'Campaign' : 'Sequence', flow.id);
    about[flow.kind === 'CAMPAIGN' ? 'campaign' : 'sequence'] = flow.name;
    if (event.step !== null) about['step'] = event.step;
  }
  return { type, timestamp: new Date(event.at).toISOString(), data: { ...about, ...detail } };
}

/** The request of a lane: one event as it is, or, for a webhook that takes several, all of them in one. The id is the same whenever it is tried. */
export function requestOf(lane: Pick<DueLane, 'events' | 'batch'>, now: number): { readonly id: string; readonly body: string } {
  const events = lane.events.map(payloadOf);
  const [first] = lane.events;
  const [only] = events;
  if (lane.batch === 1) return { id: `evt_${first?.no ?? 0}`, body: JSON.stringify(only) };
  const body = JSON.stringify({ type: 'batch', timestamp: new Date(now).toISOString(), data: { events } });
  return { id: `evts_${first?.no ?? 0}_${events.length}`, body };
}
