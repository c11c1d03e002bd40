import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { clearInterval, setInterval, setTimeout } from 'k6/timers';
import { request } from '../lib/graphql-http.ts';
import { subscribe } from '../lib/graphql-ws.ts';
import { connectDevice } from '../lib/link-device.ts';

/**
 * Link devices that hold a socket each, subscribers, and messages sent at a fixed rate (open model). Every body carries its place in
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
  readonly devices: readonly { readonly id: string; readonly token: string }[];
}
const plan = JSON.parse(open(__ENV['FLOTILLA_PLAN'] as string)) as Plan;
const fleetVus = Math.ceil(plan.devices.length / plan.socketsPerVu);
/** devices have this long to come up before the first message */
const WARM_UP_S = 5;
const DRAIN_S = 5;

const deliveryMs = new Trend('delivery_ms', true);
const acceptMs = new Trend('accept_ms', true);
const generatorLagMs = new Trend('generator_lag_ms', true);
const accepted = new Counter('messages_accepted');
const refused = new Counter('messages_refused');
const arrived = new Counter('messages_arrived');
const repeated = new Counter('messages_repeated');
const disordered = new Counter('messages_disordered');
const welcomes = new Counter('devices_welcomed');
const broken = new Counter('sockets_broken');
const snapshots = new Counter('fleet_snapshots');
const deltas = new Counter('fleet_deltas');
const gaps = new Counter('fleet_gaps');
const events = new Counter('message_events');

export const options = {
  scenarios: {
    fleet: { executor: 'per-vu-iterations', exec: 'fleet', vus: fleetVus, iterations: 1, maxDuration: `${plan.seconds + 60}s` },
    watch: { executor: 'per-vu-iterations', exec: 'watch', vus: 1, iterations: 1, maxDuration: `${plan.seconds + 60}s` },
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
    message_events: ['count>0'],
    fleet_snapshots: [`count>=${Math.ceil(plan.subscribers / 2)}`],
    accept_ms: ['p(99)<500'],
    delivery_ms: ['p(99)<1500'],
  },
};

export function fleet(): void {
  const first = (exec.scenario.iterationInTest % fleetVus) * plan.socketsPerVu;
  const sockets = plan.devices.slice(first, first + plan.socketsPerVu).map((device) => {
    let last = 0;
    return connectDevice({
      url: `${plan.ws}/link`,
      token: device.token,
      onWelcome: () => welcomes.add(1),
      onBroken: () => broken.add(1),
      onSend(frame) {
        const { seq, at } = JSON.parse(frame.body) as { seq: number; at: number };
        deliveryMs.add(Date.now() - at);
        if (seq === last) repeated.add(1);
        else {
          arrived.add(1);
          if (seq < last) disordered.add(1);
          last = Math.max(last, seq);
        }
      },
    });
  });
  let expected = Date.now() + 100;
  const lag = setInterval(() => {
    generatorLagMs.add(Math.max(0, Date.now() - expected));
    expected = Date.now() + 100;
  }, 100);
  setTimeout(
    () => {
      clearInterval(lag);
      for (const socket of sockets) socket.stop();
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
  const at = Math.round(exec.scenario.startTime + (iteration * 1000) / plan.messagesPerSecond);
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
