import type { Span, Telemetry } from '../../../ops/telemetry/index.ts';

/** What nodes say of themselves, summed over a world. An error in the log is a violation: nothing in a world may surprise the code. */
export interface Tally {
  of(party: string): Telemetry;
  readonly figures: Record<string, number>;
}

const SILENT: Span = { traceparent: '', set() {}, fail() {}, end() {} };

export function createTally(trace: ((line: string) => void) | undefined, violation: (invariant: string, what: string) => void): Tally {
  const figures: Record<string, number> = { 'fenced answers': 0, lost: 0, refills: 0, expired: 0, behind: 0 };
  const add = (name: string, by: number): void => {
    figures[name] = (figures[name] ?? 0) + by;
  };
  const say = (level: string, party: string, event: string, fields: unknown, error: unknown): void =>
    trace?.(`${party} ${level} ${event} ${JSON.stringify(fields ?? {})} ${error === undefined ? '' : String(error)}`);
  return {
    figures,
    of: (party) => ({
      log: {
        debug() {},
        info: (event, fields) => say('info', party, event, fields, undefined),
        warn: (event, fields, error) => say('warn', party, event, fields, error),
        error(event, fields, error) {
          say('error', party, event, fields, error);
          const text = String(error);
          // a node that goes down rejects whoever waits for a store
          if (!text.includes('the node is going down')) violation('I0', `${party}: ${event} ${text}`);
        },
      },
      count(name, value = 1, labels) {
        if (name === 'fenced') add('fenced answers', value);
        else if (name === 'partition.lost') add('lost', value);
        else if (name === 'refills') add('refills', value);
        // found and put right, and yet nothing may get into that state
        else if (name === 'mailbox.astray') violation('I3', 'a lane had gone past an open message');
        else if (name === 'lease.lost' && labels?.['cause'] === 'EXPIRED') add('expired', value);
        else if (name === 'enqueue.outcome' && labels?.['outcome'] === 'BEHIND') add('behind', value);
      },
      record() {},
      gauge: () => () => {},
      span: () => SILENT,
      sampled: () => false,
      metricsText: async () => '',
      shutdown: async () => {},
    }),
  };
}
