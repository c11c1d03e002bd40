import { inputOf } from './http-inputs.ts';
import type { FuzzPart, FuzzReport } from './part.ts';
import { exchange } from './wire.ts';

/**
 * Bad requests to /graphql: documents, bodies, headers, bytes that are no HTTP. Each has to get one of its right answers, and none may tell of our
 * insides.
 */
const AT_ONCE = 8;
/** an unfinished request is waited for until the server gives it up; nobody has to see that each time */
const PATIENCE_MS = 1_500;
const INSIDES = /node_modules|at \w+ \(|\.ts:\d+|postgres:\/\/|redis:\/\/|"INTERNAL"/;
const SHOWN = 300;

async function run({ api, dice, say }: Parameters<FuzzPart['run']>[0], inputs: number): Promise<FuzzReport> {
  const port = Number(new URL(api.url).port);
  const answers: Record<string, number> = {};
  const faults: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < inputs) {
      next += 1;
      if (next % 5_000 === 0) say(`http: ${next} of ${inputs}`);
      const input = inputOf(dice, api.key);
      const answer = await exchange(port, input.bytes, PATIENCE_MS);
      const { text } = answer;
      // GraphQL over HTTP: a refusal may come as 200 with errors and no data
      const refused = answer.status === 200 && /"errors":/.test(text) && !/"data":\{/.test(text);
      const status = refused ? 400 : answer.status;
      const name = `${input.name}: ${status}`;
      answers[name] = (answers[name] ?? 0) + 1;
      // too much asked in a second is a right answer to anything that has a key
      const right = typeof status === 'number' ? input.right.includes(status) || status === 429 : input.closing;
      const shown = (): string => input.bytes.toString('latin1').replace(api.key, 'KEY').slice(-SHOWN);
      if (!right) faults.push(`http ${name} is wrong: ${shown()}`);
      if (INSIDES.test(text)) faults.push(`http ${name} tells of our insides: ${shown()}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { inputs, answers, faults };
}

export const http: FuzzPart = { name: 'http', weight: 1, run };
