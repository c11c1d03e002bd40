import { clearTimeout, setTimeout } from 'k6/timers';
import { createLinkClient, LINK_SUBPROTOCOL, type LinkClient, type LinkClientOptions } from '../../schema/link/index.ts';
import { openSocket } from './socket.ts';

/** A linked device: the client of schema/link over k6's sockets and timers. `onDial` is called for each attempt to connect. */
export function connectDevice(options: LinkClientOptions & { readonly onDial?: () => void }): LinkClient {
  return createLinkClient(
    {
      open(url, events) {
        options.onDial?.();
        let open = false;
        const socket = openSocket(url, LINK_SUBPROTOCOL, '/link');
        socket.addEventListener('open', () => {
          open = true;
          events.open();
        });
        socket.addEventListener('message', (event) => events.message(event.data));
        socket.addEventListener('close', (event) => {
          open = false;
          events.closed(event.code);
        });
        // refused, or broken: k6 says no `close` when there was no socket
        socket.addEventListener('error', () => {
          if (!open) events.closed(1006);
        });
        return {
          send(text) {
            if (open) socket.send(text);
          },
          close() {
            if (open) socket.close();
          },
        };
      },
      after(ms, task) {
        const timer = setTimeout(task, Math.max(1, ms));
        return () => clearTimeout(timer);
      },
      now: () => Date.now(),
      random: () => Math.random(),
    },
    options,
  );
}
