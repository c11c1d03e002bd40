import {
  addTransactionCapability,
  type BinaryNode,
  Curve,
  DEFAULT_CONNECTION_CONFIG,
  encodeBigEndian,
  encodeWAMessage,
  generateSignalPubKey,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildUInt,
  initAuthCreds,
  KEY_BUNDLE_TYPE,
  proto,
  type SignalDataSet,
  type SignalDataTypeMap,
  type SignalKeyStore,
  unpadRandomMax16,
  xmppPreKey,
  xmppSignedPreKey,
} from '@whiskeysockets/baileys';
import { quietLogger } from '../../quiet-logger.ts';

/** One end of Signal sessions: a person's phone. Owns its keys, in memory; they live as long as the server. */
export interface Party {
  /** signs the identities of linked devices */
  readonly identity: { readonly private: Uint8Array; readonly public: Uint8Array };
  /** what a sender needs to begin a session, as the `user` node of an answer for `jid`; hands out a fresh one-time key */
  bundle(jid: string): Promise<BinaryNode>;
  /** throws what libsignal says: no session, a key used twice, a counter that went back */
  decrypt(from: string, type: string, ciphertext: Uint8Array): Promise<proto.Message>;
  /** `their`: the bundle of a device never written to, as `bundle` gives it */
  encrypt(to: string, message: proto.IMessage, their: () => BinaryNode | undefined): Promise<{ type: string; ciphertext: Uint8Array }>;
  forget(jid: string): Promise<void>;
}

const silent = quietLogger({ debug: () => {}, info: () => {}, warn: () => {}, error: () => {} });

function memoryKeys(): SignalKeyStore {
  const kept = new Map<string, unknown>();
  return {
    get: async <T extends keyof SignalDataTypeMap>(type: T, ids: string[]) => {
      const found = ids.filter((id) => kept.has(`${type}/${id}`)).map((id) => [id, kept.get(`${type}/${id}`)]);
      return Object.fromEntries(found) as { [id: string]: SignalDataTypeMap[T] };
    },
    set: async (data: SignalDataSet) => {
      for (const [type, values] of Object.entries(data)) {
        for (const [id, value] of Object.entries(values ?? {})) {
          if (value == null) kept.delete(`${type}/${id}`);
          else kept.set(`${type}/${id}`, value);
        }
      }
    },
  };
}

export function createParty(): Party {
  const creds = initAuthCreds();
  const keys = addTransactionCapability(memoryKeys(), silent, { maxCommitRetries: 1, delayBetweenTriesMs: 10 });
  const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ creds, keys }, silent, async () => []);
  let nextPreKey = 1;
  return {
    identity: creds.signedIdentityKey,
    async bundle(jid) {
      const id = nextPreKey++;
      const pair = Curve.generateKeyPair();
      await keys.set({ 'pre-key': { [id]: pair } });
      return bundleNode(
        jid,
        creds.registrationId,
        creds.signedIdentityKey.public,
        xmppSignedPreKey(creds.signedPreKey),
        xmppPreKey(pair, id),
      );
    },
    async decrypt(from, type, ciphertext) {
      const padded = await repository.decryptMessage({ jid: from, type: type === 'pkmsg' ? 'pkmsg' : 'msg', ciphertext });
      return proto.Message.decode(unpadRandomMax16(padded));
    },
    async encrypt(to, message, their) {
      if (!(await repository.validateSession(to)).exists) {
        const node = their();
        if (node === undefined) throw new Error(`${to} has uploaded no keys yet`);
        await repository.injectE2ESession({ jid: to, session: sessionOf(node) });
      }
      return repository.encryptMessage({ jid: to, data: encodeWAMessage(message) });
    },
    forget: (jid) => repository.deleteSession([jid]),
  };
}

export function bundleNode(
  jid: string,
  registrationId: number,
  identity: Uint8Array,
  signed: BinaryNode,
  preKey: BinaryNode | undefined,
): BinaryNode {
  return {
    tag: 'user',
    attrs: { jid },
    content: [
      { tag: 'registration', attrs: {}, content: encodeBigEndian(registrationId) },
      { tag: 'type', attrs: {}, content: KEY_BUNDLE_TYPE },
      { tag: 'identity', attrs: {}, content: identity },
      signed,
      ...(preKey === undefined ? [] : [preKey]),
    ],
  };
}

function keyOf(node: BinaryNode = { tag: 'none', attrs: {} }): { keyId: number; publicKey: Uint8Array; signature: Uint8Array } {
  return {
    keyId: getBinaryNodeChildUInt(node, 'id', 3) ?? 0,
    publicKey: generateSignalPubKey(getBinaryNodeChildBuffer(node, 'value') ?? Buffer.alloc(32)),
    signature: getBinaryNodeChildBuffer(node, 'signature') ?? Buffer.alloc(0),
  };
}

function sessionOf(user: BinaryNode) {
  const preKey = getBinaryNodeChild(user, 'key');
  return {
    registrationId: getBinaryNodeChildUInt(user, 'registration', 4) ?? 0,
    identityKey: generateSignalPubKey(getBinaryNodeChildBuffer(user, 'identity') ?? Buffer.alloc(32)),
    signedPreKey: keyOf(getBinaryNodeChild(user, 'skey')),
    ...(preKey === undefined ? {} : { preKey: keyOf(preKey) }),
  } as Parameters<ReturnType<typeof DEFAULT_CONNECTION_CONFIG.makeSignalRepository>['injectE2ESession']>[0]['session'];
}
