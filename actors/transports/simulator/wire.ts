/**
 * What nodes and the phones process say to each other: newline-delimited JSON over TCP, one connection per node for all its devices.
 * Short keys, because every message of a load test passes here: d device, e epoch, n node, i ledger id, w wire id, a attempt.
 */

/** A fault a test asks the phones for. With neither `count` nor `rate` it strikes every time, until `clear`. */
export interface FaultAsk {
  /**
   * reject: answered with a refusal, no arrival. slow: acknowledged `ms` later. lost-ack: arrives, is never acknowledged.
   * drop: arrives, then the device's connection drops before the acknowledgement (without a device: the node's TCP connection).
   * never-connect: an opened device is not answered.
   */
  readonly kind: 'reject' | 'slow' | 'lost-ack' | 'drop' | 'never-connect';
  /** null or absent: every device */
  readonly device?: string | null;
  /** strikes this many times, then is gone */
  readonly count?: number;
  /** share of the occasions it strikes, 0 to 1 */
  readonly rate?: number;
  /** reject only: may the sender try again (default false) */
  readonly retry?: boolean;
  /** reject only; default SIMULATED_REJECT */
  readonly code?: string;
  /** reject only: told to the sender */
  readonly retryAfterMs?: number;
  /** slow only */
  readonly ms?: number;
}

export type ToPhones =
  | { readonly k: 'open'; readonly d: string; readonly e: number; readonly n: string }
  | { readonly k: 'close'; readonly d: string; readonly e: number }
  | {
      readonly k: 'send';
      readonly d: string;
      readonly e: number;
      readonly i: string;
      readonly w: string;
      readonly a: number;
      readonly to: string;
      readonly b: string;
    }
  /** an inbound message is stored */
  | { readonly k: 'ok'; readonly d: string; readonly i: string }
  /** control frames; each is answered with `done` */
  | { readonly k: 'fault'; readonly fault: FaultAsk }
  | { readonly k: 'clear' }
  /** drops connections at once: one device's, or every TCP connection of every node */
  | { readonly k: 'drop-now'; readonly d: string | null }
  /** the contact writes to the device */
  | { readonly k: 'say'; readonly d: string; readonly from: string; readonly b: string }
  | { readonly k: 'figures' };

export interface PhonesFigures {
  readonly devices: number;
  readonly connections: number;
  readonly arrivals: number;
  readonly repeats: number;
  readonly rejected: number;
  readonly inboundOpen: number;
}

export type FromPhones =
  | { readonly k: 'up'; readonly d: string; readonly e: number }
  | { readonly k: 'down'; readonly d: string; readonly e: number; readonly r: string }
  | { readonly k: 'ack'; readonly d: string; readonly e: number; readonly i: string; readonly a: number; readonly at: number }
  | {
      readonly k: 'nack';
      readonly d: string;
      readonly e: number;
      readonly i: string;
      readonly a: number;
      readonly retry: boolean;
      readonly code: string;
      readonly after?: number;
    }
  | { readonly k: 'receipt'; readonly d: string; readonly i: string; readonly s: 'DELIVERED' | 'READ'; readonly at: number }
  | { readonly k: 'in'; readonly d: string; readonly i: string; readonly from: string; readonly b: string; readonly at: number }
  | { readonly k: 'done'; readonly figures: PhonesFigures };

/** One line of the phones' file: the oracle of every test. */
export interface Arrival {
  readonly device: string;
  /** ledger id */
  readonly id: string;
  /** the id on the wire, by which a phone knows a repeat */
  readonly wire: string;
  readonly epoch: number;
  readonly node: string;
  readonly attempt: number;
  /** the phone had this wire id already and dropped it (it acknowledges it all the same) */
  readonly repeat: boolean;
  /** wall ms */
  readonly at: number;
  readonly to: string;
}

/** The longest line either side takes, in characters. */
export const MAX_LINE = 1_000_000;

/** Splits a stream of text into lines; `broken` once a line is longer than MAX_LINE. */
export function createLineSplitter(onLine: (line: string) => void, broken: () => void): (chunk: string) => void {
  let rest = '';
  return (chunk) => {
    let text = rest.length === 0 ? chunk : rest + chunk;
    let from = 0;
    for (let end = text.indexOf('\n', from); end !== -1; end = text.indexOf('\n', from)) {
      if (end > from) onLine(text.slice(from, end));
      from = end + 1;
    }
    text = from === 0 ? text : text.slice(from);
    rest = text;
    if (rest.length > MAX_LINE) broken();
  };
}

/** host and port of `tcp://host:port` */
export function addressOf(url: string): { readonly host: string; readonly port: number } {
  const parsed = new URL(url);
  return { host: parsed.hostname, port: Number(parsed.port) };
}
