import { createSign, generateKeyPairSync } from 'node:crypto';

/** A self-signed certificate for localhost, made anew for each test. Source: RFC 5280, X.690 (DER). */

function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), body]);
}
const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts);
const time = (ms: number): Buffer => der(0x18, Buffer.from(`${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`));
/** 1.2.840.113549.1.1.11, sha256WithRSAEncryption */
const SHA256_RSA = sequence(der(6, Buffer.from('2a864886f70d01010b', 'hex')), der(5));
/** 2.5.4.3, commonName */
const COMMON_NAME = der(6, Buffer.from('550403', 'hex'));
/** 2.5.29.17, subjectAltName */
const ALT_NAME = der(6, Buffer.from('551d11', 'hex'));

export function selfSigned(now: number): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const name = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from('localhost')))));
  const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  const content = sequence(
    der(0xa0, der(2, Buffer.from([2]))),
    der(2, Buffer.from([1])),
    SHA256_RSA,
    name,
    sequence(time(now - 86_400_000), time(now + 86_400_000)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(sequence(ALT_NAME, der(4, names)))),
  );
  const signature = createSign('sha256').update(content).sign(privateKey);
  const whole = sequence(content, SHA256_RSA, der(3, Buffer.from([0]), signature));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
