import {
  aesDecryptGCM,
  aesEncryptGCM,
  type BinaryNode,
  Curve,
  decodeBinaryNode,
  encodeBinaryNode,
  hkdf,
  NOISE_MODE,
  NOISE_WA_HEADER,
  proto,
  sha256,
} from '@whiskeysockets/baileys';

/**
 * The server's side of WhatsApp's Noise handshake (Noise_XX_25519_AESGCM_SHA256) on one socket.
 * Owns: the handshake's keys and counters. Called by socket.ts, frame by frame.
 *
 * The certificate chain is the public one that WhatsApp's servers show to everybody: Baileys checks its signatures against the key it
 * ships, but not that it belongs to the static key of the handshake, so any server may show it. Nothing of it is secret.
 */
export interface ServerNoise {
  /** whole frames in what arrived, without their length */
  frames(data: Buffer): Buffer[];
  /** answers the client's hello */
  hello(frame: Buffer): Buffer;
  /** reads the client's last handshake frame; from then on `decode` and `encode` work */
  finish(frame: Buffer): { readonly payload: proto.ClientPayload; readonly clientKey: Buffer };
  decode(frame: Buffer): Promise<BinaryNode>;
  encode(node: BinaryNode): Buffer;
}

const CERTIFICATES = Buffer.from(
  'CncKMwjjAhADGiCRKg7Kg1iu4CSulwLBaxX51Tefw6VXGgZqcr5OEbXIRiDQ04bOBijQjZ/TBhJA34Bj82jAHhLpCWBNVBlGnFDieamd8+138S57uMt9ke9mrn5r4+Ve' +
    'pwBPKEgHjob6bR70rlCmWDkxZv+CfVjIAxJ2CjIIAxAAGiAcUamsMDmUxsjQuS6hh4pTNHZZnMWZ++o1mX2aqQzOYiCAka6+Bij/3rfcBhJAJw8pRkhTn+1IcOJQVN1O' +
    'lZg6uikYnCumyO7acFVVX3U3QPXsGSq2TCbCbWrebSC593Su43EgprIDlfU8ZgWFBw==',
  'base64',
);
const NOTHING = Buffer.alloc(0);

function nonce(counter: number): Buffer {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(counter, 8);
  return iv;
}

export const withLength = (body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([(body.length >>> 16) & 0xff, (body.length >>> 8) & 0xff, body.length & 0xff]), body]);

export function createServerNoise(): ServerNoise {
  const start = Buffer.from(NOISE_MODE);
  let hash: Buffer = start.length === 32 ? start : sha256(start);
  let salt: Uint8Array = hash;
  let key: Uint8Array = hash;
  let counter = 0;
  let ephemeral = Curve.generateKeyPair();
  let transport: { readonly read: Uint8Array; readonly write: Uint8Array; reads: number; writes: number } | undefined;
  let buffered: Buffer = NOTHING;
  let introduced = false;

  const authenticate = (data: Uint8Array): void => {
    hash = sha256(Buffer.concat([hash, data]));
  };
  const derive = (data: Uint8Array): readonly [Uint8Array, Uint8Array] => {
    const keys = hkdf(data, 64, { salt: Buffer.from(salt), info: '' });
    return [keys.subarray(0, 32), keys.subarray(32)];
  };
  const mix = (data: Uint8Array): void => {
    [salt, key] = derive(data);
    counter = 0;
  };
  const seal = (plain: Uint8Array): Buffer => {
    const sealed = aesEncryptGCM(plain, key, nonce(counter++), hash);
    authenticate(sealed);
    return sealed;
  };
  const open = (sealed: Uint8Array): Buffer => {
    const plain = aesDecryptGCM(sealed, key, nonce(counter++), hash);
    authenticate(sealed);
    return plain;
  };
  authenticate(NOISE_WA_HEADER);

  return {
    frames(data) {
      buffered = Buffer.concat([buffered, data]);
      if (!introduced) {
        if (buffered.length < NOISE_WA_HEADER.length) return [];
        buffered = buffered.subarray(NOISE_WA_HEADER.length);
        introduced = true;
      }
      const found: Buffer[] = [];
      while (buffered.length >= 3) {
        const size = buffered.readUIntBE(0, 3);
        if (buffered.length < size + 3) break;
        found.push(buffered.subarray(3, size + 3));
        buffered = buffered.subarray(size + 3);
      }
      return found;
    },
    hello(frame) {
      const client = proto.HandshakeMessage.decode(frame).clientHello?.ephemeral;
      if (client == null) throw new Error('no client hello');
      authenticate(client);
      ephemeral = Curve.generateKeyPair();
      const fixed = Curve.generateKeyPair();
      authenticate(ephemeral.public);
      mix(Curve.sharedKey(ephemeral.private, client));
      const sealedStatic = seal(fixed.public);
      mix(Curve.sharedKey(fixed.private, client));
      const payload = seal(CERTIFICATES);
      return withLength(
        proto.HandshakeMessage.encode({ serverHello: { ephemeral: ephemeral.public, static: sealedStatic, payload } }).finish(),
      );
    },
    finish(frame) {
      const message = proto.HandshakeMessage.decode(frame).clientFinish;
      if (message?.static == null || message.payload == null) throw new Error('no client finish');
      const clientKey = open(message.static);
      mix(Curve.sharedKey(ephemeral.private, clientKey));
      const payload = proto.ClientPayload.decode(open(message.payload));
      const [read, write] = derive(NOTHING);
      transport = { read, write, reads: 0, writes: 0 };
      return { payload, clientKey };
    },
    async decode(frame) {
      if (transport === undefined) throw new Error('the handshake is not over');
      return decodeBinaryNode(aesDecryptGCM(frame, transport.read, nonce(transport.reads++), NOTHING));
    },
    encode(node) {
      if (transport === undefined) throw new Error('the handshake is not over');
      return withLength(aesEncryptGCM(encodeBinaryNode(node), transport.write, nonce(transport.writes++), NOTHING));
    },
  };
}
