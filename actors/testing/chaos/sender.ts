import type { Clock, Dice } from '../../../ops/lifecycle/index.ts';

/**
 * A client of the API that never gives up: every message has an idempotency key, and whatever was not answered for certain is asked
 * again with the same key, at the other gateway. Owns the budget of messages and the requests under way.
 *
 * I1  A message counts as answered only when the API gave its id back.
 * I2  No more messages than the budget are ever made, however they are asked for.
 */
export interface SenderOptions {
  readonly total: number;
  readonly deviceIds: readonly string[];
  /** base addresses of the gateways */
  readonly gateways: readonly string[];
  readonly key: string;
  /** part of every idempotency key */
  readonly run: string;
  readonly batch: number;
  readonly concurrency: number;
}

export interface Sender {
  /** messages the API answered with an id */
  readonly answered: ReadonlySet<string>;
  /** requests that had to be made again */
  readonly retries: number;
  /** what the API did since the last time this was asked */
  answers(): Answers;
  /** messages made so far, answered or not */
  readonly made: number;
  /** `each` messages to each of the devices, as fast as the API takes them; resolves when they are answered */
  burst(deviceIds: readonly string[], each: number): Promise<void>;
  /** messages to devices drawn by dice at this rate from now on; 0 stops */
  rate(perSecond: number): void;
  /** makes no more at a rate; resolves when everything ever made is answered */
  stop(): Promise<void>;
  /** the rest of the budget; resolves when everything ever made is answered */
  finish(): Promise<void>;
  /** stops asking; what is not answered stays so */
  abandon(): void;
}

export interface Answers {
  /** how long the API took to answer each request, in whatever way, ms; one that was given up counts as long as it was waited for */
  readonly times: readonly number[];
  /** requests without an answer, of them those that were given up after REQUEST_TIMEOUT_MS */
  readonly broken: number;
  readonly givenUp: number;
  readonly retries: number;
}

interface Item {
  readonly deviceId: string;
  readonly lane: 'HIGH' | 'NORMAL';
  readonly number: number;
  readonly group: { left: number } | undefined;
}
interface Answer {
  readonly message: { readonly id: string } | null;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

const RATE_TICK_MS = 100;
const REQUEST_TIMEOUT_MS = 5000;
/** Refusals that end by themselves. */
const PASSING = new Set(['UNAVAILABLE', 'TIMEOUT', 'INTERNAL', 'RATE_LIMITED', 'BACKLOG_FULL']);

function documentOf(items: number): string {
  const numbers = Array.from({ length: items }, (_, n) => n);
  const variables = numbers.map((n) => `$i${n}: SendMessageInput!`).join(', ');
  return `mutation Chaos(${variables}) { ${numbers.map((n) => `m${n}: sendMessage(input: $i${n}) { message { id } errors { code message } }`).join(' ')} }`;
}

/** Asks once for these messages. @returns the code of each refusal. @throws Error when there is no answer */
export async function askToSend(
  api: { readonly url: string; readonly key: string },
  inputs: readonly Readonly<Record<string, string>>[],
): Promise<readonly string[]> {
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query: documentOf(inputs.length), variables: Object.fromEntries(inputs.map((input, n) => [`i${n}`, input])) }),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const body = (await response.json()) as { data?: Record<string, Answer | null> | null };
  return Object.values(body.data ?? {}).flatMap((answer) => answer?.errors.map((error) => error.code) ?? []);
}

export function createSender(deps: { readonly clock: Clock; readonly dice: Dice }, options: SenderOptions): Sender {
  const { clock, dice } = deps;
  const answered = new Set<string>();
  const queue: Item[] = [];
  let made = 0;
  let retries = 0;
  let since = { times: [] as number[], broken: 0, givenUp: 0, retries: 0 };
  let active = 0;
  let turn = 0;
  let stopped = false;
  let failure: Error | undefined;
  let waiters: { readonly until: () => boolean; readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  let cancelTick: (() => void) | undefined;
  let perSecond = 0;
  let owed = 0;

  const settleWaiters = (): void => {
    const ready = waiters.filter((waiter) => failure !== undefined || waiter.until());
    waiters = waiters.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) {
      if (failure === undefined) waiter.done();
      else waiter.fail(failure);
    }
  };
  const waitFor = (until: () => boolean): Promise<void> =>
    new Promise((done, fail) => {
      waiters.push({ until, done, fail });
      settleWaiters();
    });
  const make = (deviceId: string, group?: { left: number }): void => {
    if (made >= options.total) return;
    made += 1;
    if (group !== undefined) group.left += 1;
    queue.push({ deviceId, lane: dice.next() < 0.8 ? 'HIGH' : 'NORMAL', number: made, group });
  };
  const inputOf = ({ deviceId, lane, number }: Item): Record<string, string> => ({
    deviceId,
    lane,
    to: `+1415555${String(number % 10_000).padStart(4, '0')}`,
    body: `simulated message ${number}`,
    idempotencyKey: `chaos-${options.run}-${number}`,
  });
  /** the items that still want an answer */
  const ask = async (items: readonly Item[]): Promise<readonly Item[]> => {
    turn += 1;
    const gateway = options.gateways[turn % options.gateways.length] ?? '';
    const variables = Object.fromEntries(items.map((item, n) => [`i${n}`, inputOf(item)]));
    const asked = clock.monotonic();
    const missed = (error: unknown): never => {
      since.broken += 1;
      const waited = clock.monotonic() - asked;
      if (waited >= REQUEST_TIMEOUT_MS - 50) {
        since.givenUp += 1;
        since.times.push(waited);
      }
      throw error;
    };
    const response = await fetch(`${gateway}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${options.key}`, 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: documentOf(items.length), variables }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    }).catch(missed);
    const text = await response.text().catch(missed);
    since.times.push(clock.monotonic() - asked);
    const body = JSON.parse(text) as { data?: Record<string, Answer | null> | null; errors?: { message: string }[] };
    if (body.data === undefined || body.data === null) {
      if (response.status === 400) failure = new Error(`the API refuses the request: ${text.slice(0, 300)}`);
      return items;
    }
    const again: Item[] = [];
    for (const [n, item] of items.entries()) {
      const answer = body.data[`m${n}`];
      const id = answer?.message?.id;
      const problem = answer?.errors[0];
      if (id !== undefined) {
        // `Message:uuid`
        answered.add(id.slice(-36));
        if (item.group !== undefined) item.group.left -= 1;
      } else if (problem !== undefined && !PASSING.has(problem.code))
        failure = new Error(`sendMessage: ${problem.code}: ${problem.message}`);
      else again.push(item);
    }
    return again;
  };
  const work = async (first: readonly Item[]): Promise<void> => {
    let items = first;
    while (items.length > 0 && !stopped && failure === undefined) {
      try {
        items = await ask(items);
      } catch {
        // the connection broke or the answer did: its outcome is unknown
      }
      if (items.length === 0) break;
      retries += 1;
      since.retries += 1;
      await clock.sleep(50 + dice.next() * 200);
    }
  };
  const pump = (): void => {
    while (active < options.concurrency && queue.length > 0 && !stopped && failure === undefined) {
      active += 1;
      void work(queue.splice(0, options.batch)).finally(() => {
        active -= 1;
        pump();
        settleWaiters();
      });
    }
  };
  const tick = (): void => {
    cancelTick = undefined;
    if (stopped || perSecond === 0) return;
    owed += (perSecond * RATE_TICK_MS) / 1000;
    for (; owed >= 1; owed -= 1) {
      const deviceId = options.deviceIds[Math.floor(dice.next() * options.deviceIds.length)];
      if (deviceId !== undefined) make(deviceId);
    }
    pump();
    cancelTick = clock.after(RATE_TICK_MS, tick);
  };
  const idle = (): boolean => stopped || (queue.length === 0 && active === 0);

  return {
    answered,
    get retries() {
      return retries;
    },
    answers() {
      const answers = since;
      since = { times: [], broken: 0, givenUp: 0, retries: 0 };
      return answers;
    },
    get made() {
      return made;
    },
    async burst(deviceIds, each) {
      const group = { left: 0 };
      for (let round = 0; round < each; round++) for (const deviceId of deviceIds) make(deviceId, group);
      pump();
      await waitFor(() => stopped || group.left === 0);
    },
    rate(next) {
      perSecond = next;
      cancelTick?.();
      tick();
    },
    async stop() {
      perSecond = 0;
      cancelTick?.();
      await waitFor(idle);
    },
    async finish() {
      perSecond = 0;
      cancelTick?.();
      for (let n = 0; made < options.total && options.deviceIds.length > 0; n++)
        make(options.deviceIds[n % options.deviceIds.length] ?? '');
      pump();
      await waitFor(idle);
    },
    abandon() {
      stopped = true;
      cancelTick?.();
      settleWaiters();
    },
  };
}
