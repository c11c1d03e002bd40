import WebSocket from 'ws';
import { systemClock as clock, type Dice } from '../../ops/lifecycle/index.ts';
import type { Api } from '../api.ts';
import { CODES, lastInput, openingInput, operationInput, type SocketInput } from './graphql-inputs.ts';
import type { FuzzPart, FuzzReport } from './part.ts';

/**
 * Frames on GraphQL sockets: some say one bad thing and are closed, most are let in, say many bad operations at once, and one last thing that closes
 * them. Every operation must be answered once and by its id, every socket must end with the right code, and none of the answers may tell of our insides.
 */
const AT_ONCE = 24;
/** below the burst of messages that one connection may send */
const OPERATIONS = 120;
/** one socket in so many says something bad at once, or floods */
const OPENING_EVERY = 3;
const FLOOD_EVERY = 400;
const FLOOD = 10_000;
const WAIT_MS = 60_000;
const MOST_FAULTS = 20;
const INSIDES = /node_modules|at \w+ \(|\.ts:\d+|postgres:\/\/|redis:\/\/|"INTERNAL"/;

interface Told {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}
export interface Judgement {
  readonly answers: readonly string[];
  readonly faults: readonly string[];
}
const shown = (data: string | Buffer): string => JSON.stringify(String(data).slice(0, 200));

/** Judges the answers to operations: each once, whole, by its id. `code`: how the socket ended; `last` says how it should. */
export function judge(inputs: readonly SocketInput[], last: SocketInput, told: readonly Told[], code: number): Judgement {
  const heads = new Map<string, Told[]>();
  for (const message of told) {
    if (message.id === undefined) continue;
    const list = heads.get(message.id);
    if (list === undefined) heads.set(message.id, [message]);
    else list.push(message);
  }
  const answers: string[] = [];
  const faults: string[] = [];
  for (const { name, data, right } of inputs) {
    if (right.kind !== 'answer') {
      answers.push(`${name}: nothing`);
      continue;
    }
    const kinds = (heads.get(right.id) ?? []).map(({ type }) => type).join('+');
    heads.delete(right.id);
    answers.push(`${name}: ${kinds === '' ? 'none' : kinds}`);
    if (kinds !== 'error' && kinds !== 'next+complete')
      faults.push(`graphql ${name} was answered ${kinds || 'not at all'}: ${shown(data)}`);
  }
  for (const id of heads.keys()) faults.push(`graphql: an answer to ${JSON.stringify(id)}, which nobody asked`);
  answers.push(`${last.name}: ${code}`);
  const codes = last.right.kind === 'close' ? last.right.codes : [];
  if (!codes.includes(code)) faults.push(`graphql ${last.name} ended ${code}, right: ${codes.join(' or ')}: ${shown(last.data)}`);
  return { answers, faults };
}

/** One socket: says `first` when it is open, the rest once it is let in; `done` when it is closed. */
function converse(
  url: string,
  first: string | Buffer,
  inputs: readonly SocketInput[],
  last: SocketInput | undefined,
): Promise<{ readonly told: Told[]; readonly text: string; readonly code: number }> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false });
    const told: Told[] = [];
    let text = '';
    let missing = inputs.filter(({ right }) => right.kind === 'answer').length;
    const say = (data: string | Buffer): void => socket.send(data);
    const end = (code: number): void => {
      cancel();
      resolve({ told, text, code });
      socket.terminate();
    };
    const cancel = clock.after(WAIT_MS, () => end(-1));
    socket.on('open', () => say(first));
    socket.on('message', (data: Buffer) => {
      const line = data.toString('utf8');
      const message = JSON.parse(line) as Told;
      if (message.type === 'connection_ack') {
        for (const { data: input } of inputs) say(input);
        if (missing === 0 && last !== undefined) say(last.data);
        return;
      }
      if (message.type === 'ping') return;
      told.push(message);
      if (INSIDES.test(line)) text = line;
      if (message.type !== 'error' && message.type !== 'complete') return;
      missing -= 1;
      // all are answered: now the last word, so that none is cut off by it
      if (missing === 0 && last !== undefined) say(last.data);
    });
    socket.on('close', (code) => end(code));
    socket.on('error', () => {});
  });
}

/** Ten thousand operations at once: no more run than may, and the socket is closed for its haste. */
async function flood(url: string, init: string): Promise<Judgement> {
  const many: SocketInput[] = Array.from({ length: FLOOD }, (_, n) => ({
    name: 'flood',
    data: JSON.stringify({ id: `f${n}`, type: 'subscribe', payload: { query: 'subscription { messageEvents { seq } }' } }),
    right: { kind: 'nothing' },
  }));
  const { told, code } = await converse(url, init, many, undefined);
  const strange = told.filter(({ type }) => type !== 'error');
  return {
    answers: [`flood: ${code}`],
    faults: [
      ...(code === CODES.abuse ? [] : [`graphql: ${FLOOD} operations at once ended ${code}`]),
      ...(strange.length === 0 ? [] : [`graphql: ${FLOOD} operations at once were answered ${strange[0]?.type}`]),
    ],
  };
}

export async function talk(api: Api, dice: Dice, turn: number): Promise<Judgement & { readonly inputs: number }> {
  const url = `${api.url.replace(/^http/, 'ws')}/graphql`;
  const init = JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${api.key}` } });
  if (turn % FLOOD_EVERY === FLOOD_EVERY - 1) return { ...(await flood(url, init)), inputs: FLOOD };
  if (turn % OPENING_EVERY === 0) {
    const input = openingInput(dice, api.key);
    const { told, text, code } = await converse(url, input.data, [], undefined);
    const { answers, faults } = judge([], input, told, code);
    return { answers, faults: text === '' ? faults : [...faults, `graphql tells of our insides: ${text}`], inputs: 1 };
  }
  const inputs = Array.from({ length: OPERATIONS }, (_, n) => operationInput(dice, n));
  const last = lastInput(dice, api.key);
  const { told, text, code } = await converse(url, init, inputs, last);
  const { answers, faults } = judge(inputs, last, told, code);
  return { answers, faults: text === '' ? faults : [...faults, `graphql tells of our insides: ${text}`], inputs: inputs.length + 1 };
}

export const graphql: FuzzPart = {
  name: 'graphql',
  weight: 70,
  async run({ api, dice, say }, inputs): Promise<FuzzReport> {
    const answers: Record<string, number> = {};
    const faults: string[] = [];
    let [done, turns, told] = [0, 0, 0];
    const worker = async (): Promise<void> => {
      while (done < inputs && faults.length < MOST_FAULTS) {
        const turn = turns++;
        const result = await talk(api, dice, turn);
        done += result.inputs;
        for (const answer of result.answers) answers[answer] = (answers[answer] ?? 0) + 1;
        faults.push(...result.faults);
        if (done - told >= 50_000) {
          told = done;
          say(`graphql: ${done} of ${inputs}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { inputs: done, answers, faults };
  },
};
