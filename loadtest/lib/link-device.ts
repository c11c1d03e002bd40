import { openSocket } from './socket.ts';

/** One linked device on `/link`: says hello, acknowledges every message as sent and then delivered, answers pings. */
export interface LinkDevice {
  readonly url: string;
  readonly token: string;
  onWelcome(): void;
  /** a message arrived; called before the ack leaves */
  onSend(frame: { id: string; epoch: number; to: string; body: string }): void;
  onBroken(why: string): void;
}

export function connectDevice(options: LinkDevice): { stop(): void } {
  let stopped = false;
  const socket = openSocket(options.url, 'flotilla-link.v1', '/link');
  socket.addEventListener('open', () => socket.send(JSON.stringify({ type: 'hello', token: options.token })));
  socket.addEventListener('message', (event) => {
    const frame = JSON.parse(event.data) as { type: string; id: string; epoch: number; to: string; body: string; reason?: string };
    if (frame.type === 'welcome') options.onWelcome();
    else if (frame.type === 'ping') socket.send(JSON.stringify({ type: 'pong' }));
    else if (frame.type === 'send') {
      options.onSend(frame);
      socket.send(JSON.stringify({ type: 'ack', id: frame.id, epoch: frame.epoch, status: 'sent' }));
      socket.send(JSON.stringify({ type: 'ack', id: frame.id, epoch: frame.epoch, status: 'delivered' }));
    } else if (frame.type === 'bye' && !stopped) options.onBroken(`bye ${frame.reason ?? ''}`);
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
