import type { Counted, Line, LineEvents, LineFactory, LineMessage, LineOptions } from '../line-port.ts';
import type { ReachOut } from '../reach-out.ts';

/** A socket played by a test: what it was told stands in `sent`, and the test says what happens next. */
export interface FakeLine {
  readonly options: LineOptions;
  readonly events: LineEvents;
  /** messages whose bytes "left" */
  readonly sent: LineMessage[];
  ended: boolean;
  /** called for each message before its bytes leave (queries for devices and keys take their time) */
  prepare: () => Promise<void>;
  /** what the server does with a message that arrived; default: acks it */
  answer: (message: LineMessage) => void;
  /** the write fails after the bytes may have left */
  failAfterWrite: boolean;
  /** what WhatsApp says when asked about new chats */
  reachOut: () => Promise<ReachOut>;
  newChats: () => Promise<Counted | null>;
  onWhatsApp: (phone: string) => Promise<boolean | null>;
  /** the canary */
  probe: () => Promise<void>;
}

export interface FakeLibrary extends LineFactory {
  readonly lines: FakeLine[];
  /** the line opened last */
  latest(): FakeLine;
}

/** `onOpen` is called with each new line, after the caller has it. */
export function createFakeLibrary(onOpen: (line: FakeLine) => void = () => {}): FakeLibrary {
  const lines: FakeLine[] = [];
  return {
    lines,
    latest() {
      const line = lines.at(-1);
      if (line === undefined) throw new Error('no line was opened');
      return line;
    },
    freshCreds: () => ({ fresh: true }),
    openLine(options, events): Line {
      const line: FakeLine = {
        options,
        events,
        sent: [],
        ended: false,
        prepare: () => Promise.resolve(),
        answer: ({ wireId }) => events.acknowledged(wireId, null),
        failAfterWrite: false,
        reachOut: async () => ({ locked: false, until: null }),
        newChats: async () => null,
        onWhatsApp: async () => true,
        probe: async () => {},
      };
      lines.push(line);
      queueMicrotask(() => onOpen(line));
      return {
        async send(message, gate, leaving) {
          if (!gate()) return { written: false, open: !line.ended };
          await line.prepare();
          if (line.ended || !gate()) return { written: false, open: !line.ended };
          leaving();
          line.sent.push(message);
          if (line.failAfterWrite) return { written: false, open: true };
          line.answer(message);
          return { written: true, open: true };
        },
        end() {
          line.ended = true;
          return Promise.resolve();
        },
        compose: async ({ body }) => Buffer.from(body),
        probe: () => line.probe(),
        askMediaAgain: async () => null,
        askReachOut: () => line.reachOut(),
        askNewChats: () => line.newChats(),
        isOnWhatsApp: (phone) => line.onWhatsApp(phone),
        requestCode: async () => 'ABCD1234',
      };
    },
  };
}
