import { type BinaryNode, getBinaryNodeChild, getBinaryNodeChildBuffer, type proto, S_WHATSAPP_NET } from '@whiskeysockets/baileys';
import { systemClock } from '../../../../../ops/lifecycle/index.ts';
import { type Account, addCompanion, type Companion, seconds } from './account.ts';
import type { Manners } from './delivery.ts';
import { pairSuccess, readQr, type Signed, typeCode } from './linking.ts';
import type { ServerSocket } from './socket.ts';

const iq = (attrs: Record<string, string>, content: BinaryNode[]): BinaryNode => ({
  tag: 'iq',
  attrs: { from: S_WHATSAPP_NET, ...attrs },
  content,
});

export const streamError = (code: number): BinaryNode => {
  if (code === 440) return { tag: 'stream:error', attrs: {}, content: [{ tag: 'conflict', attrs: { type: 'replaced' } }] };
  if (code === 401)
    return { tag: 'stream:error', attrs: { code: '401' }, content: [{ tag: 'conflict', attrs: { type: 'device_removed' } }] };
  return { tag: 'stream:error', attrs: { code: String(code) } };
};

/** A socket whose client is not logged in: it wants to be linked. */
export interface Linking {
  readonly socket: ServerSocket;
  readonly noiseKey: string;
  readonly payload: proto.ClientPayload;
  code: { readonly jid: string; readonly ref: string; readonly wrapped: Uint8Array; typed?: (iq: BinaryNode) => void } | undefined;
  confirm: ((answer: BinaryNode) => void) | undefined;
  failed: ((error: Error) => void) | undefined;
}

/** Links devices to accounts. Owns: the sockets that wait, and which QR codes are theirs. Called by server.ts. */
export interface Linker {
  offer(socket: ServerSocket, payload: proto.ClientPayload, noiseKey: string): Linking;
  stanza(linking: Linking, node: BinaryNode): void;
  gone(linking: Linking): void;
  scan(phone: string, qr: string): Promise<Companion>;
  typeCode(phone: string, code: string): Promise<Companion>;
  demandPasskey(qr: string): void;
}

export function createLinker(deps: { account(phone: string): Account; readonly manners: Manners }): Linker {
  const linkings = new Map<string, Linking>();
  let refs = 0;
  const offer: Linker['offer'] = (socket, payload, noiseKey) => {
    const linking: Linking = { socket, noiseKey, payload, code: undefined, confirm: undefined, failed: undefined };
    const names = Array.from({ length: deps.manners.refs }, () => `ref-${++refs}-${noiseKey.slice(0, 8)}`);
    for (const name of names) linkings.set(name, linking);
    const content = names.map((name): BinaryNode => ({ tag: 'ref', attrs: {}, content: Buffer.from(name) }));
    socket.send(iq({ type: 'set', id: `pair-${refs}`, xmlns: 'md' }, [{ tag: 'pair-device', attrs: {}, content }]));
    return linking;
  };
  /** the phone has all it needs: the device is linked once it has confirmed */
  const complete = (linking: Linking, phone: string, identity: Uint8Array, secret: Uint8Array): Promise<Companion> => {
    const owner = deps.account(phone);
    const number = owner.nextDevice;
    const signed: Signed = pairSuccess(owner, { jid: `${owner.user}:${number}@s.whatsapp.net`, number, identity, secret });
    return new Promise((resolve, reject) => {
      linking.failed = reject;
      linking.confirm = (answer) => {
        if (!signed.confirms(answer)) return reject(new Error('the device confirmed another identity'));
        const companion = addCompanion(owner, linking.noiseKey);
        linking.socket.end(streamError(515));
        resolve(companion);
      };
      linking.socket.send(signed.node);
    });
  };
  const linkingOf = (qr: string): { linking: Linking; identity: Buffer; secret: Buffer } => {
    const { ref, noiseKey, identity, secret } = readQr(qr);
    const linking = linkings.get(ref);
    if (linking === undefined || linking.noiseKey !== noiseKey) throw new Error('this QR code is not valid any more');
    return { linking, identity, secret };
  };
  const stanza: Linker['stanza'] = (linking, node) => {
    if (node.tag !== 'iq') return;
    if (getBinaryNodeChild(node, 'pair-device-sign') !== undefined) {
      linking.confirm?.(node);
      return;
    }
    const reg = getBinaryNodeChild(node, 'link_code_companion_reg');
    if (reg?.attrs['stage'] === 'companion_hello') {
      const wrapped = getBinaryNodeChildBuffer(reg, 'link_code_pairing_wrapped_companion_ephemeral_pub');
      const ref = `code-${++refs}`;
      linking.code = { jid: reg.attrs['jid'] ?? '', ref, wrapped: wrapped ?? Buffer.alloc(80) };
      const answer: BinaryNode = { tag: 'link_code_pairing_ref', attrs: {}, content: Buffer.from(ref) };
      linking.socket.send(
        iq({ type: 'result', id: node.attrs['id'] ?? '' }, [{ tag: 'link_code_companion_reg', attrs: {}, content: [answer] }]),
      );
      return;
    }
    linking.socket.send(iq({ type: 'result', id: node.attrs['id'] ?? '' }, []));
    if (reg?.attrs['stage'] === 'companion_finish') linking.code?.typed?.(node);
  };

  return {
    offer,
    stanza,
    gone(linking) {
      for (const [ref, one] of linkings) if (one === linking) linkings.delete(ref);
      linking.failed?.(new Error('the device went away before it was linked'));
    },
    async scan(phone, qr) {
      const { linking, identity, secret } = linkingOf(qr);
      return complete(linking, phone, identity, secret);
    },
    async typeCode(phone, code) {
      const waits = (): Linking | undefined => [...linkings.values()].find((one) => one.code?.jid.startsWith(`${phone.slice(1)}@`));
      // the device shows its code as soon as it has asked for it; the question may still be on its way
      for (let tries = 0; waits() === undefined && tries < 1000; tries++) await systemClock.sleep(10);
      const linking = waits();
      if (linking?.code === undefined) throw new Error(`no device waits for a code of ${phone}`);
      const { code: waiting } = linking;
      const typed = await typeCode(deps.account(phone), code, waiting);
      const secret = await new Promise<Uint8Array>((resolve, reject) => {
        waiting.typed = (node) => {
          try {
            resolve(typed.finish(node));
          } catch (error) {
            reject(error as Error);
          }
        };
        linking.socket.send(typed.node);
      });
      const identity = Buffer.from(linking.payload.devicePairingData?.eIdent ?? []);
      return complete(linking, phone, identity, secret);
    },
    demandPasskey(qr) {
      const options = { tag: 'passkey_request_options', attrs: {}, content: Buffer.from('{}') };
      const attrs = { from: S_WHATSAPP_NET, type: 'passkey_prologue_request', id: `passkey-${++refs}`, t: seconds() };
      linkingOf(qr).linking.socket.send({ tag: 'notification', attrs, content: [options] });
    },
  };
}
