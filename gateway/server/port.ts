/** What the rest of the gateway sees of the server. Nothing here names uWebSockets.js. */

export interface HttpRequest {
  /** upper case */
  readonly method: string;
  readonly path: string;
  /** without the question mark; empty when there is none */
  readonly query: string;
  /** lower-case names; a repeated header keeps its values joined with ", " */
  readonly headers: Readonly<Record<string, string>>;
  /** address of the peer, as text */
  readonly remote: string;
  /** aborted when the client goes away or the answer has been sent */
  readonly signal: AbortSignal;
  /**
   * The whole body. Gathered from the first byte on, so it may be asked for late or twice.
   * @throws HttpError 413 above `capBytes` (never above the route's own limit), 408 when it does not arrive in time, 499 when the client went away
   */
  body(capBytes?: number): Promise<Buffer>;
  /**
   * On a route with `streamed`: the body as it comes, once. The client is held back while nobody takes; what has been read is not kept.
   * @throws HttpError 413 above the route's limit, 408 when nothing comes for the server's patience, 499 when the client went away
   */
  chunks(): AsyncIterable<Buffer>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** an AsyncIterable is sent as it comes, no faster than the client reads */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>;
  /** of an AsyncIterable: aborted = the connection is cut, even while the client takes nothing */
  readonly cut?: AbortSignal;
}

export type HttpHandler = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

/** Thrown by a handler to answer with a plain status; any other error answers 500 and says nothing of itself to the client. */
export class HttpError extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
    this.headers = headers;
  }
}

export interface RouteOptions {
  /** longest body gathered; default 256 KB */
  readonly bodyLimitBytes?: number;
  /** the body is not gathered: the handler takes it with `chunks` */
  readonly streamed?: boolean;
}

/**
 * `sent`: handed to the kernel. `buffered`: taken, the client reads slowly. `dropped`: the frame is GONE (buffer limit). `closed`: no socket.
 */
export type SendOutcome = 'sent' | 'buffered' | 'dropped' | 'closed';

export interface Socket {
  readonly remote: string;
  readonly closed: boolean;
  /** bytes taken but not yet in the kernel */
  bufferedBytes(): number;
  /** true at or above the high-water mark: send state as one snapshot at the next `drain` instead of more frames */
  full(): boolean;
  /** text for a string, else `binary` decides (default: text, for frames encoded once as UTF-8) */
  send(frame: string | Uint8Array, binary?: boolean): SendOutcome;
  /** gathers everything sent inside `task` into one write; use it outside of behaviour callbacks */
  cork(task: () => void): void;
  /** closes with a code; the reason is cut to 123 bytes. Harmless when closed already. */
  close(code: number, reason: string): void;
}

export interface UpgradeInfo {
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remote: string;
  /** subprotocols the client offers, in its order */
  readonly protocols: readonly string[];
  readonly origin: string | undefined;
}
export type UpgradeVerdict<S> =
  | {
      readonly accept: true;
      /** echoed subprotocol; undefined = none is echoed */
      readonly protocol?: string | undefined;
      readonly state: S;
    }
  | { readonly accept: false; readonly status: number; readonly message: string; readonly headers?: Readonly<Record<string, string>> };

/** One kind of WebSocket. All callbacks are synchronous and must not throw; a throw closes the socket with 4500. */
export interface WebSocketBehaviour<S> {
  /** metric label: from a closed set */
  readonly kind: 'graphql' | 'link';
  readonly maxPayloadBytes: number;
  /** idle seconds before the server closes (it pings by itself): 0 or 8 to 960; default 30 */
  readonly idleTimeoutS?: number;
  /** frames are dropped above this; default 1 MB */
  readonly maxBackpressureBytes?: number;
  /** `Socket.full()` at or above this; default 256 KB */
  readonly highWaterBytes?: number;
  /** a socket that takes nothing for this long is closed with 4503; default 15 000 */
  readonly stallMs?: number;
  upgrade(info: UpgradeInfo): UpgradeVerdict<S>;
  open(socket: Socket, state: S): void;
  /** `data` is a view that is only valid during the call */
  message(socket: Socket, state: S, data: Buffer, binary: boolean): void;
  /** the socket is below its high-water mark again after having been buffered */
  drain?(socket: Socket, state: S): void;
  close(socket: Socket, state: S, code: number): void;
}

export interface Server {
  /** exact path, or a prefix ending in "/*"; the longest match wins. `method` 'ANY' takes all. */
  http(method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'ANY', path: string, handler: HttpHandler, options?: RouteOptions): void;
  websocket<S>(path: string, behaviour: WebSocketBehaviour<S>): void;
  /** @throws when the port is taken */
  listen(host: string, port: number): Promise<{ readonly port: number }>;
  /**
   * Stops listening, closes sockets with 1012 spread over at most `windowMs` in random order, waits for open answers until
   * `deadlineMs`, then closes everything. Idempotent.
   */
  drain(options: { readonly windowMs: number; readonly deadlineMs: number }): Promise<void>;
  /** sockets open now, by kind */
  sockets(kind?: 'graphql' | 'link'): number;
}
