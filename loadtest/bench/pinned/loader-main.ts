import { Agent, request } from 'node:http';
import { systemClock as clock } from '../../../ops/lifecycle/index.ts';
import { paced } from '../live/world.ts';

/**
 * The load of the bench `pinned`, in a process of its own: `sendMessage` over HTTP, one request for each message, the next device each time, in equal
 * steps by the clock however slow the answers are. Told over IPC what to do; says on `stop` what came of it.
 */
export type Order =
  | { readonly kind: 'go'; readonly url: string; readonly key: string; readonly devices: readonly string[]; readonly perSecond: number }
  /** figures are counted anew */
  | { readonly kind: 'count' }
  | { readonly kind: 'stop' };
export interface Told {
  readonly accepted: number;
  readonly refused: number;
  /** the first refusal, as it came */
  readonly refusal: string;
  /** due -> answer, ms, sorted */
  readonly answers: readonly number[];
}

const SOCKETS = 64;
const SEND = 'mutation Send($input: SendMessageInput!) { sendMessage(input: $input) { message { id } errors { code } } }';
const BODY = 'Hello! This is a simulated message of a bench, as long as a message to a customer would be. '.padEnd(160, 'x');

const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS });
const counted = { accepted: 0, refused: 0, refusal: '' };
let answers: number[] = [];
let under = 0;
let stop: (() => number) | undefined;

function send(order: Extract<Order, { kind: 'go' }>, device: string, number: number, dueAt: number): void {
  const input = { deviceId: device, to: `+1415${5_550_000 + (number % 10_000)}`, body: BODY };
  const refuse = (why: string): void => {
    counted.refused += 1;
    if (counted.refusal === '') counted.refusal = why.slice(0, 300);
  };
  under += 1;
  const headers = { authorization: `Bearer ${order.key}`, 'content-type': 'application/json', accept: 'application/json' };
  const asked = request(`${order.url}/graphql`, { method: 'POST', agent, headers }, (answer) => {
    let text = '';
    answer.setEncoding('utf8');
    answer.on('data', (part: string) => {
      text += part;
    });
    answer.on('end', () => {
      under -= 1;
      if (answer.statusCode === 200 && text.includes('"errors":[]') && text.includes('"message":{')) {
        counted.accepted += 1;
        answers.push(clock.wall() - dueAt);
      } else refuse(text);
    });
  });
  asked.on('error', (error) => {
    under -= 1;
    refuse(String(error));
  });
  asked.end(JSON.stringify({ query: SEND, variables: { input } }));
}

async function finish(): Promise<void> {
  stop?.();
  while (under > 0) await clock.sleep(20);
  const told: Told = { ...counted, answers: answers.sort((a, b) => a - b) };
  process.send?.(told, () => process.exit());
}

process.on('message', (order: Order) => {
  if (order.kind === 'count') {
    Object.assign(counted, { accepted: 0, refused: 0, refusal: '' });
    answers = [];
  } else if (order.kind === 'stop') void finish();
  else {
    let next = 0;
    stop = paced(order.perSecond, (count, firstAt) => {
      for (let n = 0; n < count; n++, next++)
        send(order, order.devices[next % order.devices.length] ?? '', next, firstAt + (n * 1000) / order.perSecond);
    });
  }
});
process.on('disconnect', () => process.exit());
