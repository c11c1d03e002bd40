import type { lookup as systemLookup } from 'node:dns';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { AddressRefused, checkedLookup, checkLiteral, type PublicRequest, ServerSilent } from '../../../ops/connect/index.ts';

/**
 * Connections through a device's HTTP proxy, by CONNECT. Source: RFC 9110, section 9.3.6.
 *
 * X1. Nothing goes past the proxy: what it does not reach is not reached. The server's name is not even resolved here.
 * X2. The proxy's own address is one of the public internet, or named as an exception: checked when it is resolved, and connected to as it was checked.
 * X3. No error holds the proxy's address or its credentials.
 */
export interface HttpProxy {
  /** as `proxyUrl` took it */
  readonly url: URL;
  /** `host:port` pairs that are exempt from X2 */
  readonly allowed: readonly string[];
  /** a tunnel that does not stand within this is given up */
  readonly timeoutMs: number;
  /** for tests: how names are resolved */
  readonly lookup?: typeof systemLookup;
}

export type ProxyFault = 'PROXY_UNREACHABLE' | 'PROXY_REFUSED' | 'PROXY_FORBIDDEN';
/** There is no way through the proxy. */
export class ProxyFailed extends Error {
  override readonly name = 'ProxyFailed';
  readonly code: ProxyFault;
  constructor(code: ProxyFault, message: string) {
    super(message);
    this.code = code;
  }
}

const MOST_CHARACTERS = 500;

/** The address of a proxy that somebody gave us. @throws AddressRefused */
export function proxyUrl(text: string, allowed: readonly string[]): URL {
  if (text.length > MOST_CHARACTERS) throw new AddressRefused(`it has more than ${MOST_CHARACTERS} characters`);
  let url: URL;
  try {
    url = new URL(text);
    decodeURIComponent(url.username + url.password);
  } catch {
    throw new AddressRefused('it is no URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new AddressRefused(`${url.protocol} is not taken`);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw new AddressRefused('it has a path');
  checkLiteral(url, allowed);
  return url;
}

/** What may be shown of it: no credentials. */
export const shownProxy = (url: URL): string => `${url.protocol}//${url.username === '' && url.password === '' ? '' : '***@'}${url.host}`;

/** A socket to `host:port` through the proxy. @throws ProxyFailed */
export async function openTunnel(proxy: HttpProxy, host: string, port: number): Promise<Socket> {
  const { url, allowed, timeoutMs } = proxy;
  try {
    checkLiteral(url, allowed);
  } catch {
    throw new ProxyFailed('PROXY_FORBIDDEN', 'the proxy is not in the public internet');
  }
  const target = `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((done, failed) => {
    const asked = start({
      method: 'CONNECT',
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: portOf(url),
      path: target,
      headers: { host: target, ...credentialsOf(url) },
      agent: false,
      lookup: checkedLookup(url, allowed, proxy.lookup),
    });
    let open = false;
    // a tunnel that stands is no business of this time any more
    AbortSignal.timeout(timeoutMs).addEventListener('abort', () => open || asked.destroy(new Error('it took too long')));
    asked.on('connect', ({ statusCode = 0 }, socket: Socket, head: Buffer) => {
      open = true;
      if (statusCode >= 200 && statusCode < 300) {
        if (head.length > 0) socket.unshift(head);
        return done(socket);
      }
      socket.destroy();
      failed(new ProxyFailed('PROXY_REFUSED', `the proxy answered ${statusCode}`));
    });
    // an answer without a tunnel
    asked.on('response', (response) => {
      response.destroy();
      failed(new ProxyFailed('PROXY_REFUSED', `the proxy answered ${response.statusCode ?? 0}`));
    });
    asked.on('error', (error) => failed(faultOf(error)));
    asked.end();
  });
}

const portOf = (url: URL): number => (url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port));

/** X3 */
function faultOf(error: Error): ProxyFailed {
  if (error instanceof AddressRefused) return new ProxyFailed('PROXY_FORBIDDEN', 'the proxy is not in the public internet');
  const { code } = error as NodeJS.ErrnoException;
  return new ProxyFailed('PROXY_UNREACHABLE', `the proxy cannot be reached: ${typeof code === 'string' ? code : error.name}`);
}

function credentialsOf({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '' && password === '') return {};
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(plain).toString('base64')}` };
}

export interface ProxyAgentOptions {
  /** for requests over TLS (https, wss) */
  readonly secure: boolean;
  /** false only for servers of one's own on this machine */
  readonly rejectUnauthorized?: boolean;
  /** asked before each tunnel; throws to refuse its target */
  readonly check?: (host: string) => void;
  /** told of each tunnel that failed */
  readonly failed?: (error: ProxyFailed) => void;
}
interface Wanted {
  readonly host?: string;
  readonly port?: number | string;
}

/** An agent for node:http (or, `secure`, node:https and wss) whose requests each have a tunnel of their own. */
export function proxyAgent(proxy: HttpProxy, { secure, rejectUnauthorized = true, check, failed }: ProxyAgentOptions): HttpAgent {
  const agent = secure ? new HttpsAgent() : new HttpAgent();
  const connect = async (wanted: Wanted): Promise<Socket> => {
    const { host = '', port } = wanted;
    check?.(host);
    const socket = await openTunnel(proxy, host, Number(port ?? (secure ? 443 : 80)));
    // no path: here it would name a socket of this machine
    return secure ? tlsConnect({ ...wanted, port: undefined, path: undefined, socket, rejectUnauthorized } as never) : socket;
  };
  const inner = agent as unknown as { createConnection(wanted: Wanted, done: (error: unknown, socket?: Socket) => void): void };
  inner.createConnection = (wanted, done) => {
    connect(wanted).then(
      (socket) => done(null, socket),
      (error: unknown) => {
        if (error instanceof ProxyFailed) failed?.(error);
        done(error);
      },
    );
  };
  return agent;
}

/** Asks a server as `requestPublic` does, through the proxy and no other way. */
export function requestThrough(proxy: HttpProxy): (url: URL, options: PublicRequest) => Promise<IncomingMessage> {
  return async (url, { method, headers, body, allowed, signal, idleMs }) => {
    checkLiteral(url, allowed);
    const secure = url.protocol === 'https:';
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const agent = proxyAgent(proxy, { secure });
    return new Promise((answered, failed) => {
      const how = { method, agent, signal, timeout: idleMs, headers: { ...headers, ...length } };
      const asked: ClientRequest = (secure ? httpsRequest : httpRequest)(url, how, answered);
      asked.on('timeout', () => asked.destroy(new ServerSilent('the server says nothing')));
      asked.on('error', failed);
      asked.end(body);
    });
  };
}
