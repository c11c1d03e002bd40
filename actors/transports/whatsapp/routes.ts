import type { ClientRequest, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isLoopback } from '../../../ops/connect/index.ts';
import { type HttpProxy, type ProxyFault, proxyAgent } from './tunnel.ts';

/**
 * The ways out of one device's socket: for the WebSocket, for uploads, and for what Baileys fetches by itself (history, app state).
 *
 * W1. With a proxy all three go through it and no other way.
 * W2. With a server of our own on this machine nothing but this machine is reached, whatever hosts the server names: their certificates are nobody's.
 */
export interface Routes {
  /** of the WebSocket; undefined, here and below: the usual way */
  readonly agent: HttpAgent | undefined;
  /** of uploads */
  readonly fetchAgent: HttpsAgent | undefined;
  /** of fetches; for the option of that name of Node's fetch */
  readonly dispatcher: Dispatcher | undefined;
}

/** `address` as serverAddress says. `failed`: the WebSocket found no way through the proxy */
export function createRoutes(address: string | undefined, proxy: HttpProxy | null, failed: (fault: ProxyFault) => void): Routes {
  const local = address !== undefined && isLoopback(new URL(address).hostname);
  if (proxy === null && !local) return { agent: undefined, fetchAgent: undefined, dispatcher: undefined };
  const check = local ? checkLocal : undefined;
  const secure = address === undefined || new URL(address).protocol === 'wss:';
  const tls = { secure: true, rejectUnauthorized: !local, ...(check === undefined ? {} : { check }) };
  const fetchAgent = (proxy === null ? localAgent() : proxyAgent(proxy, tls)) as HttpsAgent;
  return {
    agent: proxy === null ? undefined : proxyAgent(proxy, { ...tls, secure, failed: ({ code }) => failed(code) }),
    fetchAgent,
    dispatcher: createDispatcher(fetchAgent),
  };
}

/** W2 */
function checkLocal(host: string): void {
  if (!isLoopback(host)) throw new Error('the media server is not on this machine');
}
function localAgent(): HttpsAgent {
  const agent = new HttpsAgent({ rejectUnauthorized: false });
  const inner = agent as unknown as { createConnection(options: { host?: string }, done?: unknown): unknown };
  const connect = inner.createConnection.bind(agent);
  inner.createConnection = (options, done) => {
    checkLocal(options.host ?? '');
    return connect(options, done);
  };
  return agent;
}

/** What Node's fetch asks of a dispatcher. Source: undici 6 and 7, docs/api/Dispatcher.md (`dispatch`, its handler). Only requests without a body. */
export interface Dispatcher {
  dispatch(options: DispatchOptions, handler: DispatchHandler): boolean;
}
interface DispatchOptions {
  readonly origin: string | URL;
  readonly path: string;
  readonly method: string;
  readonly headers?: unknown;
}
interface DispatchHandler {
  onConnect(abort: (error?: Error) => void): void;
  onHeaders(status: number, headers: readonly Buffer[], resume: () => void, statusText: string): boolean;
  /** false: not more until `resume` */
  onData(chunk: Buffer): boolean;
  onComplete(trailers: readonly Buffer[]): void;
  onError(error: Error): void;
}

const SILENCE_MS = 60_000;

function createDispatcher(agent: HttpsAgent): Dispatcher {
  return {
    dispatch({ origin, path, method, headers }, handler) {
      let over = false;
      const fail = (error: Error): void => {
        if (!over) handler.onError(error);
        over = true;
      };
      const url = new URL(path, origin);
      // another scheme than https would go past the agent
      if (url.protocol !== 'https:') {
        fail(new Error(`${url.protocol} is not fetched`));
        return false;
      }
      const asked: ClientRequest = httpsRequest(url, { method, agent, timeout: SILENCE_MS, headers: headersOf(headers) }, (response) => {
        const { statusCode = 0, statusMessage = '', rawHeaders } = response;
        handler.onHeaders(
          statusCode,
          rawHeaders.map((text) => Buffer.from(text, 'latin1')),
          () => response.resume(),
          statusMessage,
        );
        response.on('data', (chunk: Buffer) => {
          if (!over && !handler.onData(chunk)) response.pause();
        });
        response.on('error', fail);
        response.on('end', () => {
          if (over) return;
          over = true;
          handler.onComplete([]);
        });
      });
      asked.on('timeout', () => asked.destroy(new Error('the server says nothing')));
      asked.on('error', fail);
      handler.onConnect((error) => asked.destroy(error));
      asked.end();
      return true;
    },
  };
}

/** undici hands them over as an object, or as a list of names and values */
function headersOf(given: unknown): Record<string, string> {
  if (!Array.isArray(given)) return { ...(given as Record<string, string> | undefined) };
  const headers: Record<string, string> = {};
  for (let at = 0; at + 1 < given.length; at += 2) headers[String(given[at])] = String(given[at + 1]);
  return headers;
}
