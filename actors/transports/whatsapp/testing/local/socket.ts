import type { BinaryNode, proto } from '@whiskeysockets/baileys';
import type { WebSocket } from 'ws';
import { createServerNoise } from './noise.ts';

export interface ServerSocket {
  send(node: BinaryNode): void;
  /** says why, if anything is to be said, and closes */
  end(error: BinaryNode | undefined): void;
  /** closes without a word, as a broken wire does */
  cut(): void;
}

export interface SocketEvents {
  /** the handshake is over: what the client says it is, and its Noise key */
  hello(socket: ServerSocket, payload: proto.ClientPayload, noiseKey: string): void;
  stanza(node: BinaryNode): Promise<void>;
  closed(): void;
}

/** One client's socket: handshake, then stanzas one after the other. */
export function serve(raw: WebSocket, events: SocketEvents): void {
  const noise = createServerNoise();
  let phase: 'hello' | 'finish' | 'open' = 'hello';
  let queue = Promise.resolve();
  const socket: ServerSocket = {
    send(node) {
      if (raw.readyState === raw.OPEN && phase === 'open') raw.send(noise.encode(node));
    },
    end(error) {
      if (error !== undefined) socket.send(error);
      raw.close();
    },
    cut: () => raw.terminate(),
  };
  const take = async (frame: Buffer): Promise<void> => {
    if (phase === 'hello') {
      raw.send(noise.hello(frame));
      phase = 'finish';
    } else if (phase === 'finish') {
      const { payload, clientKey } = noise.finish(frame);
      phase = 'open';
      events.hello(socket, payload, clientKey.toString('base64'));
    } else {
      await events.stanza(await noise.decode(frame));
    }
  };
  raw.on('message', (data: Buffer) => {
    const frames = noise.frames(data);
    queue = queue.then(async () => {
      for (const frame of frames) await take(frame);
    });
    queue.catch(() => raw.close());
  });
  raw.on('error', () => raw.terminate());
  raw.on('close', () => events.closed());
}
