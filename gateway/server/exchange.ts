import type { HttpRequest as UwsRequest, HttpResponse as UwsResponse } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import type { Clock } from '../../ops/lifecycle/index.ts';
import { bodyOut } from './body-out.ts';
import { type HttpAnswer, HttpError, type HttpRequest } from './port.ts';
import { streamBody } from './stream-body.ts';

/**
 * One HTTP exchange: what uWS gives and takes, made safe.
 * Owns: the captured request, the gathered body, the answer. Called by server.ts, synchronously from the uWS handler.
 * I1 `onAborted` is attached before anything else; after an abort the response is never touched.
 * I2 Method, path and headers are copied at once: the uWS request dies with the handler's first tick.
 * I3 Chunks of the body are copied: uWS reuses their memory. Above the limit nothing more is kept.
 *    A streamed body (body.ts) keeps a little and holds the client back; what is left of it at the answer is thrown away, for a moment.
 * I4 Every write of an answer is corked. How a body reaches a slow reader: body-out.ts.
 */
export interface Exchange {
  readonly request: HttpRequest;
  readonly gone: () => boolean;
  /** sends the answer; resolves when all of it was handed over or the client went away */
  answer(answer: HttpAnswer, extra: Readonly<Record<string, string>>): Promise<void>;
}

export interface ExchangeOptions {
  readonly clock: Clock;
  /** a body that has not arrived after this is 408 */
  readonly bodyTimeoutMs: number;
  /** a client that takes nothing of its answer for so long is cut off */
  readonly answerStallMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly method: string;
  readonly bodyLimitBytes: number;
  readonly streamed: boolean;
}

const BODY_METHODS = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const EMPTY = Buffer.alloc(0);

export function headersOf(req: UwsRequest): Record<string, string> {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  req.forEach((name, value) => {
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  });
  return headers;
}

export function addressOf(res: UwsResponse): string {
  return Buffer.from(res.getRemoteAddressAsText()).toString('latin1');
}

interface Gathered {
  body(cap: number): Promise<Buffer>;
  abort(): void;
}

function gather(res: UwsResponse, options: ExchangeOptions): Gathered {
  const chunks: Buffer[] = [];
  const waiting: { readonly resolve: () => void }[] = [];
  let size = 0;
  let failure: HttpError | undefined;
  let done = !BODY_METHODS.has(options.method);
  let cancelTimer = (): void => {};
  const settle = (error?: HttpError): void => {
    if (done) return;
    done = true;
    failure = error;
    cancelTimer();
    for (const waiter of waiting.splice(0)) waiter.resolve();
  };
  const tooLarge = (limit: number): HttpError => new HttpError(413, `the body is longer than ${limit} bytes`);
  if (!done) {
    cancelTimer = options.clock.after(options.bodyTimeoutMs, () => settle(new HttpError(408, 'the body did not arrive in time')), {
      background: true,
    });
    res.onData((chunk, isLast) => {
      if (done) return;
      size += chunk.byteLength;
      if (size > options.bodyLimitBytes) {
        chunks.length = 0;
        settle(tooLarge(options.bodyLimitBytes));
        return;
      }
      if (chunk.byteLength > 0) chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast) settle();
    });
    if (Number(options.headers['content-length'] ?? 0) > options.bodyLimitBytes) settle(tooLarge(options.bodyLimitBytes));
  }
  return {
    abort: () => settle(new HttpError(499, 'the client went away')),
    async body(cap) {
      if (!done) await new Promise<void>((resolve) => waiting.push({ resolve }));
      if (failure !== undefined) throw failure;
      if (size > cap) throw tooLarge(cap);
      return chunks.length === 0 ? EMPTY : chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks);
    },
  };
}

export function openExchange(res: UwsResponse, req: UwsRequest, options: Omit<ExchangeOptions, 'method' | 'headers'>): Exchange {
  let gone = false;
  const out = bodyOut(res, { clock: options.clock, stallMs: options.answerStallMs, gone: () => gone });
  const ended = new AbortController();
  const onGone: (() => void)[] = [];
  res.onAborted(() => {
    gone = true;
    for (const task of onGone) task();
    ended.abort(new Error('the client went away'));
    out.abort();
  });
  const method = req.getCaseSensitiveMethod().toUpperCase();
  const headers = headersOf(req);
  const streamed = options.streamed && BODY_METHODS.has(method) ? streamBody(res, { ...options, headers, gone: () => gone }) : undefined;
  const gathered = streamed ?? gather(res, { ...options, method, headers });
  onGone.push(gathered.abort);
  const request: HttpRequest = {
    method,
    path: req.getUrl(),
    query: req.getQuery() ?? '',
    headers,
    remote: addressOf(res),
    signal: ended.signal,
    body: (cap = options.bodyLimitBytes) => gathered.body(cap),
    chunks: () => {
      if (streamed === undefined) throw new Error('chunks: the route is not streamed, or the method has no body');
      return streamed.chunks();
    },
  };
  const head = (answer: HttpAnswer, extra: Readonly<Record<string, string>>): void => {
    res.writeStatus(`${answer.status} ${STATUS_CODES[answer.status] ?? 'Unknown'}`);
    const all = { ...extra, ...answer.headers };
    for (const [name, value] of Object.entries(all)) {
      if (name.toLowerCase() !== 'content-length') res.writeHeader(name, value);
    }
  };
  const answer = async (given: HttpAnswer, extra: Readonly<Record<string, string>>): Promise<void> => {
    const { body } = given;
    const whole = streamed === undefined || (await streamed.drop());
    const piecemeal = typeof body === 'object' && Symbol.asyncIterator in body;
    if (gone) {
      if (piecemeal) await body[Symbol.asyncIterator]().return?.();
      return;
    }
    // A body refused half-way is still arriving: the connection cannot be used again.
    const close = given.status === 413 || given.status === 408 || !whole;
    if (method === 'HEAD') {
      if (piecemeal) await body[Symbol.asyncIterator]().return?.();
      const length = piecemeal || body === undefined ? 0 : Buffer.byteLength(body);
      if (gone) return;
      res.cork(() => {
        head(given, extra);
        res.endWithoutBody(length, close);
      });
    } else if (piecemeal) {
      const cut = (): void => {
        if (!gone) res.close();
      };
      given.cut?.addEventListener('abort', cut, { once: true });
      res.cork(() => head(given, extra));
      await out.piecemeal(body);
    } else if (body === undefined || body.length === 0 || close) {
      res.cork(() => {
        head(given, extra);
        if (body === undefined && (given.status === 204 || given.status === 304)) res.endWithoutBody(undefined, close);
        else res.end(body ?? '', close);
      });
    } else await out.whole(() => head(given, extra), typeof body === 'string' ? Buffer.from(body) : body);
    if (gone) return;
    gone = true;
    gathered.abort();
    ended.abort(new Error('the answer has been sent'));
  };
  return { request, gone: () => gone, answer };
}
