import { WebSocket } from 'ws';
import { undescribed } from '../../gateway/link/described.testing.ts';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { LINK_CLOSE, LINK_LIMITS, LINK_SUBPROTOCOL } from '../../schema/link/index.ts';
import { createLinkDevices, type LinkDevice } from '../api.ts';
import { type LinkInput, linkInput } from './link-inputs.ts';
import type { FuzzPart, FuzzReport } from './part.ts';

/**
 * Frames on device sockets, before the hello and after it. What is right is told by asyncapi.json: a frame that it does not describe ends the socket with
 * 4400 (1003 when binary, 1009 when too large), one that it describes is taken, and the socket goes on.
 */
const AT_ONCE = 40;
/** one input in four is said by a device that is let in; the rest before any hello */
const WELCOMED = 4;
/** a device may connect ten times at once */
const USES = 8;
const WAIT_MS = 30_000;
const MOST_FAULTS = 20;

/** The codes that may end the socket; `open` = it must go on. */
export function rightAnswers(input: LinkInput, welcome: { readonly epoch: number } | undefined): readonly (number | 'open')[] {
  const bytes = typeof input === 'string' ? Buffer.byteLength(input) : input.length;
  if (bytes > LINK_LIMITS.frameBytes) return [LINK_CLOSE.tooLarge];
  if (typeof input !== 'string') return [LINK_CLOSE.unsupported];
  let frame: unknown;
  try {
    // as it arrives: lone surrogates do not survive UTF-8
    frame = JSON.parse(Buffer.from(input).toString('utf8'));
  } catch {
    return [LINK_CLOSE.protocol];
  }
  if (undescribed('fromDevice', frame) !== undefined) return [LINK_CLOSE.protocol];
  const { type, epoch } = frame as { readonly type: string; readonly epoch?: number };
  if (welcome === undefined) return [LINK_CLOSE.unauthorized];
  if (type === 'hello') return [LINK_CLOSE.protocol];
  // it may have been told a later epoch meanwhile
  if (type === 'ack' && (epoch ?? 0) > welcome.epoch)
    return (epoch ?? 0) > welcome.epoch + 100 ? [LINK_CLOSE.protocol] : [LINK_CLOSE.protocol, 'open'];
  return ['open'];
}

/** Says one input and answers with how it ended: a close code, `open`, or `hang`. */
function say(
  url: string,
  input: LinkInput,
  device: LinkDevice | undefined,
): Promise<{ ended: number | 'open' | 'hang'; epoch: number | undefined }> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, LINK_SUBPROTOCOL, { perMessageDeflate: false });
    let epoch: number | undefined;
    const done = (ended: number | 'open' | 'hang'): void => {
      cancel();
      resolve({ ended, epoch });
      socket.terminate();
    };
    const cancel = clock.after(WAIT_MS, () => done('hang'));
    const speak = (): void => {
      socket.send(input);
      if (device !== undefined) socket.send(JSON.stringify({ type: 'inbound', id: 'still there', from: '+15550000000', body: '' }));
    };
    socket.on('open', () => {
      if (device === undefined) speak();
      else socket.send(JSON.stringify({ type: 'hello', token: device.token }));
    });
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as { type: string; id?: string; epoch?: number };
      if (frame.type === 'welcome') {
        epoch = frame.epoch;
        speak();
      } else if (frame.type === 'ok' && frame.id === 'still there') done('open');
    });
    socket.on('close', (code) => done(code));
    socket.on('error', () => {});
  });
}

export const link: FuzzPart = {
  name: 'link',
  weight: 9,
  async run({ api, dice, say: tell }, inputs): Promise<FuzzReport> {
    const url = `${api.url.replace(/^http/, 'ws')}/link`;
    const free = await createLinkDevices(
      api,
      Math.max(AT_ONCE, Math.ceil(inputs / WELCOMED / USES)),
      `fuzz-${Math.floor(dice.next() * 1e9)}`,
    );
    const answers: Record<string, number> = {};
    const faults: string[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      let device = free.pop();
      let uses = 0;
      while (next < inputs && faults.length < MOST_FAULTS) {
        next += 1;
        if (next % 10_000 === 0) tell(`link: ${next} of ${inputs} inputs`);
        const speaker = next % WELCOMED === 0 ? device : undefined;
        const drawn = linkInput(dice);
        // wrong tokens are counted per address, and a hundred of them shut out this machine: that limit has a test of its own
        const input = speaker === undefined && typeof drawn === 'string' ? drawn.replace('"hello","token"', '"hello","taken"') : drawn;
        if (speaker !== undefined && ++uses % USES === 0) device = free.pop();
        const { ended, epoch } = await say(url, input, speaker);
        answers[ended] = (answers[ended] ?? 0) + 1;
        const welcome = epoch === undefined ? undefined : { epoch };
        const right = rightAnswers(input, welcome);
        const lost = speaker !== undefined && welcome === undefined;
        if (lost || !right.some((one) => one === ended)) {
          const shown = JSON.stringify(String(input).slice(0, 200));
          faults.push(`${speaker === undefined ? 'before hello' : 'welcomed'}: ${shown} ended ${ended}, right: ${right.join(' or ')}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { inputs: next, answers, faults };
  },
};
