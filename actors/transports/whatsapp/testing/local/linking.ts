import { randomBytes } from 'node:crypto';
import {
  aesDecryptCTR,
  aesDecryptGCM,
  aesEncryptCTR,
  type BinaryNode,
  Curve,
  derivePairingCodeKey,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  hkdf,
  hmacSign,
  proto,
  S_WHATSAPP_NET,
  WA_ADV_ACCOUNT_SIG_PREFIX,
  WA_ADV_DEVICE_SIG_PREFIX,
} from '@whiskeysockets/baileys';
import type { Account } from './account.ts';

/**
 * What a phone does to link a device: it signs the identity of the device, seals that with the secret it got by QR code or by pairing code,
 * and checks the signature that comes back. Pure; server.ts carries the stanzas.
 */

/** What a QR code holds. @throws Error when it is not one */
export function readQr(text: string): {
  readonly ref: string;
  readonly noiseKey: string;
  readonly identity: Buffer;
  readonly secret: Buffer;
} {
  const [ref, noiseKey, identity, secret] = text.replace(/^[^#]*#/, '').split(',');
  if (ref === undefined || noiseKey === undefined || identity === undefined || secret === undefined)
    throw new Error('not a QR code of WhatsApp');
  return { ref, noiseKey, identity: Buffer.from(identity, 'base64'), secret: Buffer.from(secret, 'base64') };
}

export interface Signed {
  readonly node: BinaryNode;
  /** is the device's answer signed with its own key over the same identity? */
  confirms(answer: BinaryNode): boolean;
}

/** The `pair-success` stanza for a device with this identity. */
export function pairSuccess(
  account: Account,
  device: { readonly jid: string; readonly number: number; readonly identity: Uint8Array; readonly secret: Uint8Array },
): Signed {
  const details = proto.ADVDeviceIdentity.encode({
    rawId: randomBytes(4).readUInt32BE(0),
    timestamp: Math.floor(Date.now() / 1000),
    keyIndex: device.number,
    accountType: proto.ADVEncryptionType.E2EE,
    deviceType: proto.ADVEncryptionType.E2EE,
  }).finish();
  const { identity } = account.party;
  const signature = Curve.sign(identity.private, Buffer.concat([WA_ADV_ACCOUNT_SIG_PREFIX, details, device.identity]));
  const signed = proto.ADVSignedDeviceIdentity.encode({
    details,
    accountSignatureKey: identity.public,
    accountSignature: signature,
  }).finish();
  const sealed = proto.ADVSignedDeviceIdentityHMAC.encode({
    details: signed,
    hmac: hmacSign(signed, device.secret),
    accountType: proto.ADVEncryptionType.E2EE,
  }).finish();
  const lid = account.lid.replace('@', `:${device.number}@`);
  return {
    node: {
      tag: 'iq',
      attrs: { from: S_WHATSAPP_NET, type: 'set', id: `pair-${device.jid}`, t: String(Math.floor(Date.now() / 1000)) },
      content: [
        {
          tag: 'pair-success',
          attrs: {},
          content: [
            { tag: 'device-identity', attrs: {}, content: sealed },
            { tag: 'device', attrs: { jid: device.jid, lid } },
            { tag: 'platform', attrs: { name: 'android' } },
          ],
        },
      ],
    },
    confirms(answer) {
      const bytes = getBinaryNodeChildBuffer(getBinaryNodeChild(answer, 'pair-device-sign'), 'device-identity');
      if (bytes === undefined) return false;
      const { deviceSignature, details: answered } = proto.ADVSignedDeviceIdentity.decode(bytes);
      if (deviceSignature == null || answered == null || !Buffer.from(details).equals(answered)) return false;
      const message = Buffer.concat([WA_ADV_DEVICE_SIG_PREFIX, details, device.identity, identity.public]);
      return Curve.verify(device.identity, message, deviceSignature);
    },
  };
}

/** A device that wants to be linked by code: what its hello holds. */
export interface CodeHello {
  readonly ref: string;
  /** salt (32), iv (16), the device's key under the code */
  readonly wrapped: Uint8Array;
}

/** The phone's part after a person has typed the code. A wrong code shows only later: nothing can be unwrapped with it. */
export async function typeCode(
  account: Account,
  code: string,
  hello: CodeHello,
): Promise<{ readonly node: BinaryNode; finish(iq: BinaryNode): Uint8Array }> {
  const wrapped = Buffer.from(hello.wrapped);
  const key = await derivePairingCodeKey(code, wrapped.subarray(0, 32));
  const theirs = aesDecryptCTR(wrapped.subarray(48), key, wrapped.subarray(32, 48));
  const ours = Curve.generateKeyPair();
  const salt = randomBytes(32);
  const iv = randomBytes(16);
  const ourKey = await derivePairingCodeKey(code, salt);
  const wrappedOurs = Buffer.concat([salt, iv, aesEncryptCTR(ours.public, ourKey, iv)]);
  const child = (tag: string, content: Uint8Array): BinaryNode => ({ tag, attrs: {}, content });
  return {
    node: {
      tag: 'notification',
      attrs: { from: S_WHATSAPP_NET, type: 'link_code_companion_reg', id: `code-${hello.ref}`, t: String(Math.floor(Date.now() / 1000)) },
      content: [
        {
          tag: 'link_code_companion_reg',
          attrs: { stage: 'primary_hello' },
          content: [
            child('link_code_pairing_ref', Buffer.from(hello.ref)),
            child('primary_identity_pub', account.party.identity.public),
            child('link_code_pairing_wrapped_primary_ephemeral_pub', wrappedOurs),
          ],
        },
      ],
    },
    /** the device's last word: gives the secret that both now share. @throws when the code was another one */
    finish(iq) {
      const reg = getBinaryNodeChild(iq, 'link_code_companion_reg');
      const bundle = Buffer.from(getBinaryNodeChildBuffer(reg, 'link_code_pairing_wrapped_key_bundle') ?? []);
      const identity = getBinaryNodeChildBuffer(reg, 'companion_identity_public') ?? Buffer.alloc(32);
      const shared = Curve.sharedKey(ours.private, theirs);
      const sealing = hkdf(shared, 32, { salt: bundle.subarray(0, 32), info: 'link_code_pairing_key_bundle_encryption_key' });
      const opened = aesDecryptGCM(bundle.subarray(44), sealing, bundle.subarray(32, 44), Buffer.alloc(0));
      const both = Curve.sharedKey(account.party.identity.private, identity);
      return hkdf(Buffer.concat([shared, both, opened.subarray(64)]), 32, { info: 'adv_secret' });
    },
  };
}
