import { openSocket } from './socket.ts';

/** One GraphQL subscription over `graphql-transport-ws` (k6 has no client for it): init, ack, subscribe, next. */
export interface Subscription {
  readonly url: string;
  readonly key: string;
  readonly query: string;
  /** every `next` payload's data */
  onData(data: Record<string, unknown>): void;
  /** the socket closed before `stop`, or the operation failed */
  onBroken(why: string): void;
}

export function subscribe(options: Subscription): { stop(): void } {
  let stopped = false;
  const socket = openSocket(options.url, 'graphql-transport-ws', '/graphql');
  socket.addEventListener('open', () => {
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${options.key}` } }));
  });
  socket.addEventListener('message', (event) => {
    const frame = JSON.parse(event.data) as { type: string; payload?: { data?: Record<string, unknown>; errors?: unknown } };
    if (frame.type === 'connection_ack') {
      socket.send(JSON.stringify({ id: 'load', type: 'subscribe', payload: { query: options.query } }));
    } else if (frame.type === 'ping') {
      socket.send(JSON.stringify({ type: 'pong' }));
    } else if (frame.type === 'next') {
      if (frame.payload?.data) options.onData(frame.payload.data);
      else options.onBroken(`next without data: ${JSON.stringify(frame.payload?.errors)}`);
    } else if (frame.type === 'error') {
      options.onBroken(JSON.stringify(frame.payload));
    }
  });
  socket.addEventListener('close', (event) => {
    if (!stopped) options.onBroken(`closed ${event.code}`);
  });
  return {
    stop() {
      stopped = true;
      socket.close();
    },
  };
}
