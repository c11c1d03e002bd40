import { Socket } from 'node:net';
import type { Sql } from './postgres.ts';

/**
 * The client's own end of waiting for Postgres. `statement_timeout` is the server's, and a server that has vanished without a word (packets
 * dropped, machine gone, a firewall that forgot the connection) keeps no promise: statements would wait for minutes or for ever.
 *
 * Owns: the statements of one pool that have no answer yet, and the pool's sockets with when each last took or gave a byte.
 * Called by connectPostgres. Sees `sql.unsafe` only, which is how all of the ledger's statements run; not cursors, not transactions.
 *
 * I1 A statement longer than `waitMs` without an answer and not yet sent ends at once: it was certainly not run (code CONNECT_TIMEOUT).
 * I2 When a sent one waits longer than `waitMs`, every socket of the pool that was silent that long is destroyed, and all that waits on it
 *    fails with ETIMEDOUT: whether it ran is not known. As `waitMs` is above the server's own limit, no statement that runs is silent so long;
 *    an idle connection may go with it, and is opened again when it is needed.
 */
export interface StatementPatience {
  /** for postgres.js: opens its socket, whose silence is watched from then on */
  socket(where: { readonly host: readonly string[]; readonly port: readonly number[]; readonly path?: string | boolean }): Socket;
  watch(sql: Sql): void;
}

export interface PatienceClock {
  monotonic(): number;
  after(ms: number, task: () => void, options?: { readonly background?: boolean }): () => void;
}

/** What of a query of postgres.js 3.4 is used: src/query.js and the handler in src/index.js. */
interface Query extends Promise<unknown> {
  handler(query: Query): unknown;
  readonly cursorFn?: unknown;
  /** the connection it was sent on; null while it waits for one */
  readonly state: unknown;
  strings: readonly string[];
  args: readonly unknown[];
  reject(error: Error): void;
}

interface Watched {
  bytes: number;
  since: number;
}

export function createPatience(clock: PatienceClock, waitMs: number): StatementPatience {
  const open = new Map<Query, number>();
  const sockets = new Map<Socket, Watched>();
  const lookMs = Math.max(20, Math.min(1000, waitMs / 4));
  let looking = false;
  let turn = 0;

  const listen = (socket: Socket, now: number): void => {
    const seen = sockets.get(socket);
    const bytes = socket.bytesRead + socket.bytesWritten;
    if (seen === undefined || seen.bytes === bytes) return;
    seen.bytes = bytes;
    seen.since = now;
  };
  const look = (): void => {
    looking = false;
    const now = clock.monotonic();
    for (const socket of sockets.keys()) {
      if (socket.destroyed) sockets.delete(socket);
      else listen(socket, now);
    }
    let waits = false;
    for (const [query, since] of open) {
      // in the order in which they began
      if (now - since < waitMs) break;
      if (query.state === null) {
        // it stays in the pool's queue as a statement of no effect: cancelling the one that a new connection was opened for would leave that
        // connection waiting for ever (connection.js, ReadyForQuery: nothing follows an `initial` that is not executed)
        query.strings = ['select 1'];
        query.args = [];
        query.reject(failure('CONNECT_TIMEOUT', `no connection to Postgres within ${waitMs} ms: the statement was not run`));
      } else waits = true;
    }
    if (waits) {
      for (const [socket, { since }] of sockets) {
        if (now - since < waitMs) continue;
        sockets.delete(socket);
        socket.destroy(failure('ETIMEDOUT', `Postgres did not answer for ${waitMs} ms: whether the statement was run is not known`));
      }
    }
    lookSoon();
  };
  const lookSoon = (): void => {
    if (looking || open.size === 0) return;
    looking = true;
    clock.after(lookMs, look, { background: true });
  };

  return {
    socket({ host, port, path }) {
      const socket = new Socket();
      // each try goes to the next of several hosts
      const at = turn++ % Math.max(1, host.length);
      const name = host[at] ?? 'localhost';
      sockets.set(socket, { bytes: 0, since: clock.monotonic() });
      socket.once('close', () => sockets.delete(socket));
      // postgres.js reads these for TLS and for its messages
      Object.assign(socket, { host: name, port: port[at] });
      if (typeof path === 'string' && path.length > 0) socket.connect(path);
      else socket.connect(port[at] ?? 5432, name);
      return socket;
    },
    watch(sql) {
      const unsafe = sql.unsafe.bind(sql) as (...args: unknown[]) => unknown;
      const watched = (...args: unknown[]): unknown => {
        const query = unsafe(...args) as Query;
        const { handler } = query;
        // runs when the statement is started, not when it is made
        query.handler = (started) => {
          if (started.cursorFn === undefined) {
            open.set(started, clock.monotonic());
            const answered = (): void => void open.delete(started);
            // not `query.then`, which would start it
            Promise.prototype.then.call(started, answered, answered);
            lookSoon();
          }
          return handler(started);
        };
        return query;
      };
      Object.assign(sql, { unsafe: watched });
    },
  };
}

function failure(code: 'CONNECT_TIMEOUT' | 'ETIMEDOUT', message: string): Error {
  return Object.assign(new Error(message), { code });
}
