import { WebSocket } from 'k6/websockets';

/** What the scenarios use of a k6 socket. k6 takes subprotocols as the second argument; its published types do not say so yet. */
export interface Socket {
  send(text: string): void;
  close(): void;
  addEventListener(kind: 'open', listener: () => void): void;
  addEventListener(kind: 'message', listener: (event: { readonly data: string }) => void): void;
  addEventListener(kind: 'error', listener: () => void): void;
  addEventListener(kind: 'close', listener: (event: { readonly code: number }) => void): void;
}
type OpenSocket = new (url: string, protocols: readonly string[], params: { readonly tags: { readonly name: string } }) => Socket;

/** `name` tags the metrics: the default tag is the full address, a time series for each socket. */
export function openSocket(url: string, protocol: string, name: string): Socket {
  return new (WebSocket as unknown as OpenSocket)(url, [protocol], { tags: { name } });
}
