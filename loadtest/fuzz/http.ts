import { type Input, inputOf } from './http-inputs.ts';
import type { FuzzPart, FuzzReport } from './part.ts';
import { createConnection, exchange, type Outcome } from './wire.ts';

/**
 * Bad requests to /graphql: documents, bodies, headers, bytes that are no HTTP. Each has to get one of its right answers, and none may tell of our
 * insides.
 */
const AT_ONCE = 8;
/** inputs on connections of their own that are waited for at the same time */
const OWN_AT_ONCE = 600;
/** an unfinished request is waited for until the server gives it up; nobody has to see that each time */
const PATIENCE_MS = 1_500;
/** a whole request is answered, however busy the machine is */
const ANSWER_MS = 30_000;
const MOST_FAULTS = 50;
const INSIDES = /node_modules|at \w+ \(|\.ts:\d+|postgres:\/\/|redis:\/\/|"INTERNAL"/;
const SHOWN = 300;

async function run({ api, dice, say }: Parameters<FuzzPart['run']>[0], inputs: number): Promise<FuzzReport> {
  const port = Number(new URL(api.url).port);
  const answers: Record<string, number> = {};
  const faults: string[] = [];
  let next = 0;
  let busy = 0;
  const judge = (input: Input, { status: given, text }: Outcome): void => {
    // GraphQL over HTTP: a refusal may come as 200 with errors and no data
    const refused = given === 200 && /"errors":/.test(text) && !/"data":\{/.test(text);
    const status = refused ? 400 : given;
    const name = `${input.name}: ${status}`;
    answers[name] = (answers[name] ?? 0) + 1;
    // too much asked in a second is a right answer to anything that has a key; so is a ledger that is too busy to look something up
    const away = status === 503 && text.includes('"UNAVAILABLE"');
    if (away) busy += 1;
    const right = typeof status === 'number' ? input.right.includes(status) || status === 429 || away : input.closing;
    const shown = (): string => input.bytes.toString('latin1').replace(api.key, 'KEY').slice(-SHOWN);
    if (!right) faults.push(`http ${name} is wrong: ${shown()}`);
    if (INSIDES.test(text)) faults.push(`http ${name} tells of our insides: ${shown()}`);
  };
  const alone = new Set<Promise<void>>();
  const worker = async (): Promise<void> => {
    const connection = createConnection(port);
    while (next < inputs && faults.length < MOST_FAULTS) {
      next += 1;
      if (next % 20_000 === 0) say(`http: ${next} of ${inputs}`);
      const input = inputOf(dice, api.key);
      if (!input.closing) {
        judge(input, await connection.exchange(input.bytes, ANSWER_MS));
        continue;
      }
      const own = exchange(port, input.bytes, PATIENCE_MS).then((outcome) => judge(input, outcome));
      const kept = own.finally(() => alone.delete(kept));
      alone.add(kept);
      if (alone.size >= OWN_AT_ONCE) await Promise.race(alone);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await Promise.all(alone);
  if (busy > next / 4) faults.push(`http: ${busy} of ${next} inputs were told that the ledger is away`);
  return { inputs, answers, faults };
}

export const http: FuzzPart = { name: 'http', weight: 20, run };
