import { WebSocket } from 'ws';
import { systemClock, systemDice } from '../../ops/lifecycle/index.ts';
import { createLinkClient, type LinkClient, type LinkClientDeps, type LinkClientOptions } from './client.ts';
import { LINK_SUBPROTOCOL } from './protocol.ts';

/** The client over `ws`, for tests and benches. */
export const overWs: LinkClientDeps = {
  open(url, events) {
    const socket = new WebSocket(url, LINK_SUBPROTOCOL, { perMessageDeflate: false });
    let retryAfterMs: number | undefined;
    socket.on('open', () => events.open());
    socket.on('message', (data) => events.message(String(data)));
    socket.on('unexpected-response', (request, response) => {
      const seconds = Number(response.headers['retry-after']);
      if (Number.isFinite(seconds)) retryAfterMs = seconds * 1000;
      request.destroy();
      socket.terminate();
    });
    // `close` follows
    socket.on('error', () => {});
    socket.on('close', (code) => events.closed(code, retryAfterMs));
    return {
      send(text) {
        if (socket.readyState === WebSocket.OPEN) socket.send(text);
      },
      close: () => socket.terminate(),
    };
  },
  after: (ms, task) => systemClock.after(ms, task),
  now: () => systemClock.monotonic(),
  random: () => systemDice.next(),
};

export const linkClient = (options: LinkClientOptions): LinkClient => createLinkClient(overWs, options);
