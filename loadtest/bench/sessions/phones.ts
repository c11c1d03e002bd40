import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Answer, Ask, Counts, Question } from './phones-main.ts';

/** The process of the phones, seen from the bench. */
export interface Phones {
  /** for WHATSAPP_URL */
  readonly url: string;
  scan(phone: string, qr: string): Promise<void>;
  say(from: string, to: string, text: string): Promise<void>;
  counts(phones: readonly string[], peers: readonly string[]): Promise<Counts>;
  close(): void;
}

export async function startPhones(): Promise<Phones> {
  const child = fork(fileURLToPath(new URL('./phones-main.js', import.meta.url)), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const waiting = new Map<number, { resolve(counts: Counts | undefined): void; reject(error: Error): void }>();
  let asked = 0;
  const url = await new Promise<string>((resolve, reject) => {
    child.on('message', (answer: Answer) => {
      if ('url' in answer) return resolve(answer.url);
      const { number, result, problem } = answer;
      const one = waiting.get(number);
      waiting.delete(number);
      if (problem === undefined) one?.resolve(result);
      else one?.reject(new Error(problem));
    });
    child.once('exit', (code) => {
      const error = new Error(`the phones ended (${code})`);
      for (const one of waiting.values()) one.reject(error);
      reject(error);
    });
  });
  const ask = (what: Ask): Promise<Counts | undefined> => {
    const question: Question = { number: ++asked, ask: what };
    return new Promise((resolve, reject) => {
      waiting.set(question.number, { resolve, reject });
      child.send(question);
    });
  };
  return {
    url,
    scan: async (phone, qr) => void (await ask({ kind: 'scan', phone, qr })),
    say: async (from, to, text) => void (await ask({ kind: 'say', from, to, text })),
    async counts(phones, peers) {
      const found = await ask({ kind: 'counts', phones, peers });
      if (found === undefined) throw new Error('the phones did not count');
      return found;
    },
    close: () => child.disconnect(),
  };
}
