import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createInbox } from './inbox.ts';
import type { InboundText } from './line-port.ts';

/** Eight tries, some 30 s, and a message was given up. */
const text = (id: string): InboundText => ({ id, from: '+4917000001', fromLid: null, body: id, at: 1 });

function world(store: (id: string) => Promise<void>) {
  let now = 0;
  const logged: string[] = [];
  const slept: number[] = [];
  const note = (what: string): void => void logged.push(what);
  const inbox = createInbox(
    {
      clock: {
        ...systemClock,
        monotonic: () => now,
        sleep: (ms, signal) => {
          slept.push(ms);
          now += ms;
          return signal?.aborted === true ? Promise.reject(signal.reason) : Promise.resolve();
        },
      },
      log: { debug: note, info: note, warn: note, error: note },
      identities: { phoneOf: async () => null },
      heard: () => {},
      inbound: ({ id }) => store(id),
    },
    { id: 'd', tenantId: 't' },
  );
  return {
    inbox,
    logged,
    slept,
    pass: (ms: number) => {
      now += ms;
    },
  };
}
const turns = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

describe('the inbox', () => {
  it('B1: repeats a message for as long as it is not stored, in order, with pauses that stay short', async () => {
    let left = 1000;
    const stored: string[] = [];
    const { inbox, logged, slept } = world(async (id) => {
      if (id === 'a' && left-- > 0) throw new Error('the ledger is away');
      stored.push(id);
    });
    await Promise.all([inbox.add(text('a')), inbox.add(text('b'))]);
    expect(stored).toEqual(['a', 'b']);
    expect(slept).toHaveLength(1000);
    expect(Math.max(...slept)).toBe(2000);
    expect(logged).toEqual(['whatsapp.inbound.waits']);
    await inbox.empty();
  });

  it('B2: a message that comes again while it waits is handed on once, and both hear of it', async () => {
    let letIn = (): void => {};
    let handedOn = 0;
    const { inbox } = world(() => {
      handedOn += 1;
      return new Promise((resolve) => {
        letIn = resolve;
      });
    });
    const both = [inbox.add(text('a')), inbox.add(text('a'))];
    const empty = inbox.empty();
    letIn();
    await Promise.all([...both, empty]);
    expect(handedOn).toBe(1);
    void inbox.add(text('a'));
    expect(handedOn).toBe(2);
  });

  it('B3: one that is refused for good is said and counts as done; an error without a code is none', async () => {
    const codes = ['42P01', '57P01', '23503'];
    const { inbox, logged } = world(async () => {
      throw Object.assign(new Error('no'), { code: codes.shift() });
    });
    await inbox.add(text('a'));
    expect(codes).toEqual([]);
    expect(logged).toEqual(['whatsapp.inbound.waits', 'whatsapp.inbound.refused']);
  });

  it('is stuck once a message has waited for a second; closed, it hands on nothing more and says nothing of what waits', async () => {
    const { inbox, pass } = world(() => new Promise(() => {}));
    let done = false;
    void inbox.add(text('a')).then(() => {
      done = true;
    });
    expect(inbox.isStuck).toBe(false);
    pass(1000);
    expect(inbox.isStuck).toBe(true);
    inbox.close();
    void inbox.empty().then(() => {
      done = true;
    });
    await turns();
    expect(done).toBe(false);
  });
});
