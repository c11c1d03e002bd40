import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MEDIA_LIMITS, type MediaKind } from '../../../schema/domain/index.ts';
import { type FetchOptions, fetchMedia } from './media-fetch.ts';

/** The fetcher against a real server on loopback, which is private and so must be exempted to be reached at all. */
const JPEG = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(2000, 7)]);
let server: Server;
let port: number;
let answer: RequestListener;
let asked: string[];
let folder: string;

const file = (): string => join(folder, 'media');
const options = (more: Partial<FetchOptions> = {}): FetchOptions => ({
  allowed: [`127.0.0.1:${port}`],
  signal: new AbortController().signal,
  idleMs: 25_000,
  ...more,
});
const fetched = (path: string, kind: MediaKind = 'image', more: Partial<FetchOptions> = {}) =>
  fetchMedia(path.startsWith('http') ? path : `http://127.0.0.1:${port}${path}`, kind, file(), options(more)).then(
    (media) => media,
    (error: { code?: unknown }) => error.code,
  );
const says =
  (type: string, body: Buffer): RequestListener =>
  (_request, response) =>
    void response.writeHead(200, { 'content-type': type }).end(body);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-fetch-'));
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked = [];
  answer = says('image/jpeg', JPEG);
});

it('stores what is there, byte for byte', async () => {
  expect(await fetched('/cat.jpg')).toEqual({ type: 'image/jpeg', bytes: JPEG.length });
  expect(readFileSync(file())).toEqual(JPEG);
});

describe('private addresses are never asked (M1)', () => {
  const none = { allowed: [] };
  it.each([
    'http://127.0.0.1:PORT/x',
    'http://localhost:PORT/x',
    'http://[::1]:PORT/x',
    'http://[::ffff:127.0.0.1]:PORT/x',
    'http://0x7f000001:PORT/x',
    'http://2130706433:PORT/x',
    'http://127.1:PORT/x',
    'http://0.0.0.0:PORT/x',
    'http://169.254.169.254/latest/meta-data',
  ])('%s', async (address) => {
    expect(await fetched(address.replace('PORT', String(port)), 'image', none)).toBe('MEDIA_REFUSED');
    expect(asked).toEqual([]);
  });

  it('a redirect to one', async () => {
    answer = (request, response) => {
      if (request.url === '/start') response.writeHead(302, { location: `http://localhost:${port}/inside` }).end();
      else response.writeHead(200, { 'content-type': 'image/jpeg' }).end(JPEG);
    };
    expect(await fetched('/start')).toBe('MEDIA_REFUSED');
    expect(asked).toEqual(['/start']);
  });

  it('a name that stands for a public and a private one, and a name that changes its mind (rebinding)', async () => {
    const both = ((_name: string, _how: unknown, done: (error: null, found: unknown) => void) =>
      done(null, [
        { address: '1.1.1.1', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ])) as never;
    expect(await fetched(`http://rebind.example:${port}/x`, 'image', { ...none, lookup: both })).toBe('MEDIA_REFUSED');
    // asked once per connection, and the socket goes where the answer said: there is no second answer to trust
    let answers = 0;
    const changing = ((_name: string, _how: unknown, done: (error: null, found: unknown) => void) => {
      answers += 1;
      done(null, [{ address: answers === 1 ? '127.0.0.1' : '1.1.1.1', family: 4 }]);
    }) as never;
    expect(await fetched(`http://rebind.example:${port}/x`, 'image', { ...none, lookup: changing })).toBe('MEDIA_REFUSED');
    expect(answers).toBe(1);
    expect(asked).toEqual([]);
  });

  it('another scheme, a user name, no URL at all', async () => {
    for (const address of ['file:///etc/passwd', 'ftp://example.com/x', `http://me:secret@127.0.0.1:${port}/x`]) {
      await expect(fetchMedia(address, 'image', file(), options())).rejects.toMatchObject({ code: 'MEDIA_REFUSED' });
    }
    expect(asked).toEqual([]);
  });
});

it('redirects are followed, but not for ever (M2)', async () => {
  answer = (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left > 0) response.writeHead(302, { location: `/${left - 1}` }).end();
    else response.writeHead(200, { 'content-type': 'image/jpeg' }).end(JPEG);
  };
  expect(await fetched('/3')).toMatchObject({ bytes: JPEG.length });
  expect(await fetched('/4')).toBe('MEDIA_REFUSED');
});

describe('size (M3)', () => {
  const { bytes: limit } = MEDIA_LIMITS.image;

  it('too large by its own word: nothing is read', async () => {
    answer = (_request, response) =>
      void response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': String(limit + 1) }).write(JPEG);
    expect(await fetched('/big.jpg')).toBe('MEDIA_TOO_LARGE');
  });

  it('too large without a word: stopped at the limit, and never more than that on the disk', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg' });
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, 1)));
        if (!response.destroyed) response.once('drain', more);
      };
      response.write(JPEG);
      more();
    };
    expect(await fetched('/endless.jpg')).toBe('MEDIA_TOO_LARGE');
    expect(statSync(file()).size).toBeLessThanOrEqual(limit);
  });

  it('one that breaks off, one that is empty, and one that says nothing', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '5000' });
      response.write(JPEG, () => response.destroy());
    };
    expect(await fetched('/half.jpg')).toBe('MEDIA_UNREACHABLE');
    answer = says('image/jpeg', Buffer.alloc(0));
    expect(await fetched('/empty.jpg')).toBe('MEDIA_TYPE');
    answer = () => {};
    expect(await fetched('/silent.jpg', 'image', { idleMs: 200 })).toBe('MEDIA_UNREACHABLE');
  });
});

describe('type (M4)', () => {
  it.each<[MediaKind, string, Buffer, boolean]>([
    ['image', 'image/png', Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(20)]), true],
    ['image', 'image/jpeg; charset=binary', JPEG, true],
    ['image', 'image/svg+xml', Buffer.from('<svg/>'), false],
    ['image', 'image/jpeg', Buffer.from('<html>not a picture at all</html>'), false],
    ['image', 'text/html', JPEG, false],
    ['video', 'video/mp4', Buffer.from('0000ftypisom0000'), true],
    ['video', 'video/mp4', JPEG, false],
    ['audio', 'audio/ogg', Buffer.from('OggS000000000000'), true],
    ['audio', 'audio/mpeg', Buffer.from('ID3000000000000'), true],
    ['audio', 'audio/ogg', JPEG, false],
    ['document', 'application/pdf', Buffer.from('%PDF-1.7'), true],
    ['document', 'text/html', Buffer.from('<html>'), false],
  ])('%s as %s', async (kind, type, body, taken) => {
    answer = says(type, body);
    const answered = await fetched('/x', kind);
    if (taken) expect(answered).toMatchObject({ bytes: body.length });
    else expect(answered).toBe('MEDIA_TYPE');
  });

  it.each([
    [404, 'MEDIA_NOT_FOUND'],
    [403, 'MEDIA_NOT_FOUND'],
    [500, 'MEDIA_UNREACHABLE'],
    [429, 'MEDIA_UNREACHABLE'],
  ])('an answer of %i is %s', async (status, code) => {
    answer = (_request, response) => void response.writeHead(status).end();
    expect(await fetched('/x')).toBe(code);
  });
});
