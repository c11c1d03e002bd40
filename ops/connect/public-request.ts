import { lookup as systemLookup } from 'node:dns';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isPublicAddress } from './public-address.ts';

/**
 * Requests to addresses that somebody gave us.
 *
 * M1. No connection is made to an address that is not public: literal addresses are checked before each request, names when they are resolved, and the
 *     socket goes to the very address that was checked, so a name that answers differently the second time gains nothing.
 * Redirects are the caller's: each hop is a request of its own, under M1.
 */
export interface PublicRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** `host:port` pairs that are exempt from M1: for tests, and for servers of one's own in a private network */
  readonly allowed: readonly string[];
  readonly signal: AbortSignal;
  /** a server that says nothing for this long is given up */
  readonly idleMs: number;
  /** for tests: how names are resolved */
  readonly lookup?: typeof systemLookup;
}

/** The address may not be asked: no connection was made. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}
/** The server was asked and said nothing. */
export class ServerSilent extends Error {
  override readonly name = 'ServerSilent';
}

const PRIVATE = 'its address is not one of the public internet: no request is made to it';

/** @throws AddressRefused for what is no URL, another scheme than http and https, and user names */
export function publicUrl(text: string, base?: URL): URL {
  let url: URL;
  try {
    url = new URL(text, base);
  } catch {
    throw new AddressRefused('it is no URL');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new AddressRefused(`${url.protocol} is not taken`);
  if (url.username !== '' || url.password !== '') throw new AddressRefused('it holds a user name');
  return url;
}

function isExempt(url: URL, allowed: readonly string[]): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return allowed.includes(`${url.hostname}:${port}`);
}

/** What can be said of an address before it is asked: a literal one that is not public. @throws AddressRefused */
export function checkLiteral(url: URL, allowed: readonly string[]): void {
  const literal = isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0;
  if (literal && !isExempt(url, allowed) && !isPublicAddress(url.hostname)) throw new AddressRefused(PRIVATE);
}

/** How names are resolved for a connection to `url` under M1: the socket goes to what was checked. Ends with AddressRefused for what is not public. */
export function checkedLookup(url: URL, allowed: readonly string[], resolve = systemLookup): LookupFunction {
  const exempt = isExempt(url, allowed);
  return (hostname, how, done) => {
    resolve(hostname, { ...how, all: true }, (error, found) => {
      if (error !== null) return done(error, '', 0);
      const addresses = found as { address: string; family: number }[];
      // one address inside is enough to refuse: a name that stands for both is no accident
      const [first] = addresses;
      if (first === undefined || (!exempt && !addresses.every(({ address }) => isPublicAddress(address))))
        return done(new AddressRefused(PRIVATE), '', 0);
      if (how.all === true) return done(null, addresses);
      done(null, first.address, first.family);
    });
  };
}

/**
 * Resolves with the head of the answer; its body is the caller's to read or destroy.
 * @throws AddressRefused, ServerSilent, or what the socket says
 */
export async function requestPublic(url: URL, options: PublicRequest): Promise<IncomingMessage> {
  checkLiteral(url, options.allowed);
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((answered, failed) => {
    // no agent: a kept socket would have been checked for another request
    const asked: ClientRequest = start(
      url,
      {
        method: options.method,
        agent: false,
        lookup: checkedLookup(url, options.allowed, options.lookup),
        signal: options.signal,
        timeout: options.idleMs,
        headers: { ...options.headers, ...(options.body === undefined ? {} : { 'content-length': String(options.body.length) }) },
      },
      answered,
    );
    asked.on('timeout', () => asked.destroy(new ServerSilent('the server says nothing')));
    asked.on('error', failed);
    asked.end(options.body);
  });
}
