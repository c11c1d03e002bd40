import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { clearInterval, setInterval, setTimeout } from 'k6/timers';
import type { LinkClient } from '../../schema/link/index.ts';
import { request } from '../lib/graphql-http.ts';
import { subscribe } from '../lib/graphql-ws.ts';
import { connectDevice } from '../lib/link-device.ts';

/**
 * Link devices that dial over a ramp and hold a socket each, subscribers, messages sent at a fixed rate (open model), and, where the profile says so,
 * a storm: all sockets are lost at once and dial again within seconds while messages go on. Every body carries its place in
 * its device's order and the moment it was meant to leave, so one run measures latency without coordinated omission and finds loss,
 * repeats and disorder. What it needs comes from the runner (loadtest/main.ts) as one JSON file.
 */
interface Plan {
  readonly http: string;
  readonly ws: string;
  readonly key: string;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly senders: number;
  readonly socketsPerVu: number;
  readonly subscribers: number;
  readonly rampSeconds: number;
  readonly storm?: { readonly atSecond: number; readonly withinSeconds: number };
  readonly devices: readonly { readonly id: string; readonly token: string }[];
}
const plan = JSON.parse(open(__ENV['FLOTILLA_PLAN'] as string)) as Plan;
const fleetVus = Math.ceil(plan.devices.length / plan.socketsPerVu);
/** devices have this long to come up before the first message */
const WARM_UP_S = plan.rampSeconds + 5;
const DRAIN_S = 5;
/** a message accepted this long before or after the sockets are lost may have to wait for its device */
const STORM_SLACK_MS = 2000;
const storms = plan.storm === undefined ? 0 : 1;

const deliveryMs = new Trend('delivery_ms', true);
const stormDeliveryMs = new Trend('storm_delivery_ms', true);
const ackMs = new Trend('ack_ms', true);
const welcomeMs = new Trend('welcome_ms', true);
const stormWelcomeMs = new Trend('storm_welcome_ms', true);
const acceptMs = new Trend('accept_ms', true);
const generatorLagMs = new Trend('generator_lag_ms', true);
const accepted = new Counter('messages_accepted');
const refused = new Counter('messages_refused');
const arrived = new Counter('messages_arrived');
const repeated = new Counter('messages_repeated');
const disordered = new Counter('messages_disordered');
const confirmed = new Counter('acks_confirmed');
const welcomes = new Counter('devices_welcomed');
const returned = new Counter('devices_returned');
const sentAway = new Counter('devices_sent_away');
const broken = new Counter('sockets_broken');
const snapshots = new Counter('fleet_snapshots');
const deltas = new Counter('fleet_deltas');
const gaps = new Counter('fleet_gaps');
const events = new Counter('message_events');

export const options = {
  scenarios: {
    fleet: {
      executor: 'per-vu-iterations',
      exec: 'fleet',
      vus: fleetVus,
      iterations: 1,
      maxDuration: `${plan.rampSeconds + plan.seconds + 60}s`,
    },
    watch: { executor: 'per-vu-iterations', exec: 'watch', vus: 1, iterations: 1, maxDuration: `${plan.rampSeconds + plan.seconds + 60}s` },
    control: {
      executor: 'constant-arrival-rate',
      exec: 'control',
      startTime: `${WARM_UP_S}s`,
      duration: `${plan.seconds}s`,
      rate: plan.messagesPerSecond,
      timeUnit: '1s',
      preAllocatedVUs: plan.senders,
      maxVUs: plan.senders,
    },
  },
  summaryTrendStats: ['min', 'med', 'p(95)', 'p(99)', 'p(99.9)', 'max', 'count'],
  thresholds: {
    messages_refused: ['count==0'],
    messages_repeated: ['count==0'],
    messages_disordered: ['count==0'],
    sockets_broken: ['count==0'],
    fleet_gaps: ['count==0'],
    devices_welcomed: [`count==${plan.devices.length}`],
    messages_arrived: [`count>=${Math.floor(plan.seconds * plan.messagesPerSecond * 0.95)}`],
    ...(storms === 0 ? {} : { devices_returned: [`count==${plan.devices.length}`], storm_welcome_ms: ['p(99)<2000'] }),
    message_events: ['count>0'],
    fleet_snapshots: [`count>=${Math.ceil(plan.subscribers / 2)}`],
    accept_ms: ['p(99)<500'],
    delivery_ms: ['p(99)<1500'],
  },
};

type Planned = Plan['devices'][number];

/** A device from its first dial on; `inStorm` tells whether a wall time lies in the storm. */
function device({ token }: Planned, inStorm: (at: number) => boolean): LinkClient {
  const saidAt = new Map<string, number>();
  let last = 0;
  let dialledAt = 0;
  let welcomed = false;
  return connectDevice({
    urls: [`${plan.ws}/link`],
    token,
    // full jitter over this: the storm
    backoff: { baseMs: (plan.storm?.withinSeconds ?? 1) * 1000, capMs: (plan.storm?.withinSeconds ?? 1) * 1000 },
    onDial() {
      dialledAt = Date.now();
    },
    onWelcome() {
      (welcomed ? stormWelcomeMs : welcomeMs).add(Date.now() - dialledAt);
      (welcomed ? returned : welcomes).add(1);
      welcomed = true;
    },
    onGone({ code, reason }) {
      if (reason === 'BUSY') sentAway.add(1);
      else if (reason !== 'DROPPED' && reason !== 'STOPPED') broken.add(1, { code: String(code) });
    },
    onMessage({ id, body }) {
      const { seq, at } = JSON.parse(body) as { seq: number; at: number };
      (inStorm(at) ? stormDeliveryMs : deliveryMs).add(Date.now() - at);
      saidAt.set(id, Date.now());
      if (seq === last) repeated.add(1);
      else {
        arrived.add(1);
        if (seq < last) disordered.add(1);
        last = Math.max(last, seq);
      }
    },
    onConfirmed(id, status) {
      const at = saidAt.get(id);
      if (status !== 'sent' || at === undefined) return;
      saidAt.delete(id);
      ackMs.add(Date.now() - at);
      confirmed.add(1);
    },
  });
}

export function fleet(): void {
  const vu = exec.scenario.iterationInTest % fleetVus;
  const own = plan.devices.slice(vu * plan.socketsPerVu, (vu + 1) * plan.socketsPerVu);
  const clients: LinkClient[] = [];
  own.forEach((planned, index) => {
    // all VUs dial at the same time, so each spreads its own devices over the whole ramp
    const at = ((index + vu / fleetVus) / own.length) * plan.rampSeconds * 1000;
    setTimeout(() => clients.push(device(planned, inStorm)), Math.max(1, at));
  });
  const stormAt = plan.storm === undefined ? Number.POSITIVE_INFINITY : exec.scenario.startTime + (WARM_UP_S + plan.storm.atSecond) * 1000;
  const stormEnd = stormAt + (plan.storm?.withinSeconds ?? 0) * 1000 + STORM_SLACK_MS;
  const inStorm = (at: number): boolean => at > stormAt - STORM_SLACK_MS && at < stormEnd;
  if (plan.storm !== undefined) {
    setTimeout(() => {
      for (const client of clients) client.drop();
    }, stormAt - Date.now());
  }
  let expected = Date.now() + 100;
  const lag = setInterval(() => {
    generatorLagMs.add(Math.max(0, Date.now() - expected));
    expected = Date.now() + 100;
  }, 100);
  setTimeout(
    () => {
      clearInterval(lag);
      for (const client of clients) client.stop();
    },
    (WARM_UP_S + plan.seconds + DRAIN_S) * 1000,
  );
}

const FLEET = `subscription { fleet {
  __typename
  ... on FleetSnapshot { epoch seq }
  ... on FleetDelta { epoch from seq }
} }`;
const EVENTS = 'subscription { messageEvents { state at message { id } } }';

export function watch(): void {
  const sockets = Array.from({ length: plan.subscribers }, (_, index) => {
    let epoch = '';
    let seq = -1;
    return subscribe({
      url: `${plan.ws}/graphql`,
      key: plan.key,
      query: index % 2 === 0 ? FLEET : EVENTS,
      onBroken: () => broken.add(1),
      onData(data) {
        const update = data['fleet'] as { __typename: string; epoch: string; from?: number; seq: number } | undefined;
        if (update === undefined) {
          events.add(1);
          return;
        }
        if (update.__typename === 'FleetSnapshot') snapshots.add(1);
        else {
          deltas.add(1);
          if (update.epoch !== epoch || (update.from ?? 0) > seq) gaps.add(1);
        }
        epoch = update.epoch;
        seq = update.seq;
      },
    });
  });
  setTimeout(
    () => {
      for (const socket of sockets) socket.stop();
    },
    (WARM_UP_S + plan.seconds + DRAIN_S) * 1000,
  );
}

const SEND = `mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code message } } }`;

/** Devices take turns, so a device's next message leaves seconds after its last, and the number of the round is its place. */
export function control(): void {
  const iteration = exec.scenario.iterationInTest;
  const index = iteration % plan.devices.length;
  const device = plan.devices[index];
  if (device === undefined) return;
  const seq = Math.floor(iteration / plan.devices.length) + 1;
  // an iteration starts when it is due, or is dropped and counted: this is the moment the message was meant to leave
  const at = Date.now();
  const answer = request<{ sendMessage: { message: { id: string } | null; errors: { code: string }[] } }>(
    `${plan.http}/graphql`,
    plan.key,
    SEND,
    {
      input: { deviceId: device.id, to: `+1555${String(1000000 + index)}`, body: JSON.stringify({ seq, at }), lane: 'HIGH' },
    },
  );
  acceptMs.add(answer.ms);
  if (answer.data?.sendMessage.message) {
    accepted.add(1);
  } else {
    refused.add(1);
    exec.vu.metrics.tags['refused'] = answer.error ?? answer.data?.sendMessage.errors[0]?.code ?? 'no answer';
  }
}

export function handleSummary(data: unknown): Record<string, string> {
  return { [__ENV['FLOTILLA_SUMMARY'] as string]: JSON.stringify(data) };
}
