import { connect, type Socket } from 'node:net';
import { systemClock as clock, type Dice } from '../../ops/lifecycle/index.ts';
import type { FuzzPart, FuzzReport } from './part.ts';

/**
 * Clients that take their time: headers and bodies that come a byte at a time, sockets that are opened and left, answers that nobody reads. All at once;
 * each must be ended by the gateway, and those who behave must be served meanwhile.
 */
const DRIBBLE_MS = 400;
/** far above every time-out of the gateway: an idle WebSocket is given 30 s, and pinged within them */
const ENDED_WITHIN_MS = 150_000;
const SERVED_WITHIN_MS = 30_000;

const UPGRADE =
  'GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n';

/** nine megabytes of GraphiQL, which need no key and do not fit into the kernel's buffers */
const PAGE = 'GET /graphql HTTP/1.1\r\nhost: x\r\naccept: text/html\r\n\r\n';

/** A masked text frame below 64 KB; the mask is zero. */
function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  const head = payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0x80 | 126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
}

interface Kind {
  readonly name: string;
  /** said one after the other, each when the gateway has answered the one before */
  readonly first: readonly (string | Buffer)[];
  /** said afterwards, a byte at a time */
  readonly dribble: string;
  readonly reads: boolean;
  /** ended sooner than this it was not slow at all, and nothing was tried */
  readonly leastMs?: number;
  /** said again and again while it reads nothing; default: line ends */
  readonly poke?: string;
}
export function kindsOf(key: string): readonly Kind[] {
  const head = (length: number): string =>
    `POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${key}\r\ncontent-length: ${length}\r\n\r\n`;
  const init = frame(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } }));
  return [
    { name: 'silent', first: [], dribble: '', reads: true },
    { name: 'slow headers', first: ['POST /graphql HTTP/1.1\r\nhost: x\r\n'], dribble: 'x-a: b\r\n'.repeat(10_000), reads: true },
    { name: 'slow body', first: [head(5_000)], dribble: ' '.repeat(4_999), reads: true },
    { name: 'no body', first: [head(5_000)], dribble: '', reads: true },
    { name: 'answer not read', first: [PAGE], dribble: '', reads: false },
    { name: 'answers not read', first: [PAGE], dribble: '', reads: false, poke: PAGE },
    { name: 'no init', first: [UPGRADE], dribble: '', reads: true },
    {
      name: 'slow init',
      first: [UPGRADE],
      dribble: frame(`{"type":"connection_init","payload":{}}${' '.repeat(80)}`).toString('latin1'),
      reads: true,
    },
    { name: 'half-open socket', first: [UPGRADE, init], dribble: '', reads: true, leastMs: 10_000 },
    { name: 'half a frame', first: [UPGRADE, init, frame('x'.repeat(3_000)).subarray(0, 2_000)], dribble: '', reads: true },
  ];
}

/** Resolves with how long the gateway let it live; null = longer than it may. `saidAll`: all of `first` is said, or it has ended. */
function suffer(
  port: number,
  { first, dribble, reads, poke: word = '\r\n' }: Kind,
  open: Set<Socket>,
  saidAll: () => void,
): Promise<number | null> {
  return new Promise((resolve) => {
    const began = clock.monotonic();
    const socket = connect(port, '127.0.0.1');
    open.add(socket);
    let at = 0;
    let over = false;
    const done = (ms: number | null): void => {
      if (over) return;
      over = true;
      cancel();
      open.delete(socket);
      socket.destroy();
      saidAll();
      resolve(ms);
    };
    const cancel = clock.after(ENDED_WITHIN_MS, () => done(null));
    const step = (): void => {
      if (over || at >= dribble.length) return;
      socket.write(dribble.charAt(at), 'latin1');
      at += 1;
      clock.after(DRIBBLE_MS, step);
    };
    let said = 0;
    const sayNext = (): void => {
      const bytes = first[said];
      said += 1;
      if (bytes !== undefined) socket.write(bytes);
      if (said === first.length || (said === 1 && first.length === 0)) {
        saidAll();
        step();
      }
    };
    socket.on('connect', sayNext);
    if (first.length > 1) socket.on('data', sayNext);
    if (reads) socket.resume();
    else socket.pause();
    // a reader that takes nothing hears of the end only when it writes
    if (!reads) {
      const poke = (): void => {
        if (over) return;
        socket.write(word);
        clock.after(1_000, poke);
      };
      clock.after(5_000, poke);
    }
    socket.on('error', () => done(clock.monotonic() - began));
    socket.on('close', () => done(clock.monotonic() - began));
    socket.on('end', () => done(clock.monotonic() - began));
  });
}

async function run(
  { api, dice, say }: { readonly api: { readonly url: string; readonly key: string }; readonly dice: Dice; say(line: string): void },
  inputs: number,
): Promise<FuzzReport> {
  const port = Number(new URL(api.url).port);
  const kinds = kindsOf(api.key);
  const answers: Record<string, number> = {};
  const faults: string[] = [];
  const open = new Set<Socket>();
  let over = false;
  let slowest = 0;
  const behave = async (): Promise<void> => {
    while (!over) {
      const began = clock.monotonic();
      const status = await fetch(`${api.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${api.key}` },
        body: '{"query":"{ __typename }"}',
        signal: AbortSignal.timeout(SERVED_WITHIN_MS),
      }).then(
        (response) => response.text().then(() => response.status),
        () => 0,
      );
      slowest = Math.max(slowest, clock.monotonic() - began);
      if (status !== 200) faults.push(`slow: somebody who behaves was answered ${status} meanwhile`);
      await clock.sleep(100);
    }
  };
  const behaving = behave();
  const play = async (kind: Kind, saidAll: () => void): Promise<void> => {
    const ms = await suffer(port, kind, open, saidAll);
    const name = `${kind.name}: ${ms === null ? 'kept' : 'ended'}`;
    answers[name] = (answers[name] ?? 0) + 1;
    if (ms !== null && ms < (kind.leastMs ?? 1_000))
      faults.push(`slow: ${kind.name} was ended after ${Math.round(ms)} ms, before it could be slow`);
    if (ms === null) faults.push(`slow: ${kind.name} was not ended within ${ENDED_WITHIN_MS} ms`);
    answers[`${kind.name}: longest ms`] = Math.max(answers[`${kind.name}: longest ms`] ?? 0, Math.round(ms ?? ENDED_WITHIN_MS));
  };
  // each kind, and the rest by chance
  const chosen = Array.from({ length: inputs }, (_, n) => kinds[n < kinds.length ? n : Math.floor(dice.next() * kinds.length)]).filter(
    (kind) => kind !== undefined,
  );
  const ended: Promise<void>[] = [];
  // who has to answer the gateway in time does so before there is a crowd: this process is as busy with it as the gateway
  const talkative = chosen.filter((kind) => kind.first.length > 1);
  await Promise.all(talkative.map((kind) => new Promise<void>((saidAll) => ended.push(play(kind, saidAll)))));
  for (const kind of chosen) if (kind.first.length <= 1) ended.push(play(kind, () => {}));
  await Promise.all(ended);
  over = true;
  await behaving;
  say(`slow: ${inputs} slow clients ended; slowest answer to one who behaves ${Math.round(slowest)} ms`);
  answers['others: slowest answer ms'] = Math.round(slowest);
  return { inputs, answers, faults };
}

export const slow: FuzzPart = { name: 'slow', weight: 1, most: 1_000, settling: kindsOf('').length, run };
