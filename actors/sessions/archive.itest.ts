import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuthenticationCreds, initAuthCreds, proto, useMultiFileAuthState } from '@whiskeysockets/baileys';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { createFileStore } from './file-store.ts';
import { backupSessions, createPostgresStore, createSessionStore, importFolder, parseKeyRing, restoreSessions } from './index.ts';
import type { KeyRing } from './key-ring.ts';
import { resealSecrets, resealSessions } from './reseal.ts';
import type { Sealed } from './sealed.ts';

/** Backup, restore, import and re-sealing, as the commands do them; on Postgres, and where it matters on files. */
const ringOf = (...entries: [string, number][]): KeyRing =>
  parseKeyRing(entries.map(([id, fill]) => `${id}:${Buffer.alloc(32, fill).toString('base64')}`).join(','));
const ring = ringOf(['a', 1]);
const later = new Date(0);
let database: TestDatabase;
let folder: string;
let sealed: Sealed;
let device: string;

async function newDevice(): Promise<string> {
  const { sql } = database;
  const id = uuidV7(clock.wall());
  await sql`insert into tenants (id, name) values (${id}, ${id})`;
  await sql`insert into devices (id, tenant_id, partition, name, transport) values (${id}, ${id}, 1, 'phone', 'whatsapp')`;
  await sql`insert into ownership (device_id, partition, epoch) values (${id}, 1, 1)`;
  return id;
}
async function fill(id: string, word: string, on = sealed): Promise<void> {
  const session = await createSessionStore({ sealed: on, ring }).open(id, 1);
  session.saveCreds({ me: { id: word } });
  await session.set({ session: { a: Buffer.from(word) }, tctoken: { b: word } });
  await session.flush();
}
const epochOf = async (id: string): Promise<number> =>
  (await database.sql<{ epoch: number }[]>`select epoch from ownership where device_id = ${id}`)[0]?.epoch ?? -1;
const deps = () => ({ sql: database.sql, sealed, ring, clock });

beforeAll(async () => {
  database = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'flotilla-archive-'));
  sealed = createPostgresStore(database.sql);
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await database.sql`delete from session_keys`;
  await database.sql`delete from sessions`;
  device = await newDevice();
});

describe('backup and restore', () => {
  const file = (): string => join(folder, `${uuidV7(clock.wall())}.jsonl`);

  it('brings a lost session back as it was, sealed all the way; the former owner is fenced', async () => {
    await fill(device, 'secret-word');
    const path = file();
    expect(await backupSessions(sealed, path, later)).toMatchObject({ sessions: 1 });
    expect(readFileSync(path, 'utf8')).not.toContain('secret-word');
    await database.sql`delete from session_keys`;
    await database.sql`delete from sessions`;
    const former = await createSessionStore({ sealed, ring }).open(device, 1);
    expect(await restoreSessions(deps(), path, { replace: false })).toEqual({ restored: [device], refused: [] });
    await expect(former.set({ session: { a: 'late' } })).rejects.toMatchObject({ code: 'SESSION_FENCED' });
    const session = await createSessionStore({ sealed, ring }).open(device, await epochOf(device));
    expect(session.creds).toEqual({ me: { id: 'secret-word' } });
    expect(await session.get('session', ['a'])).toEqual({ a: Buffer.from('secret-word') });
    expect(await session.get('tctoken', ['b'])).toEqual({ b: 'secret-word' });
    const [row] = await database.sql`select settings from devices where id = ${device}`;
    expect(row?.['settings']).toMatchObject({ restoredAt: expect.any(Number) });
  });

  it('leaves a session that is there alone, unless told to replace it', async () => {
    await fill(device, 'old');
    const path = file();
    await backupSessions(sealed, path, later);
    await fill(device, 'new');
    expect(await restoreSessions(deps(), path, { replace: false })).toEqual({
      restored: [],
      refused: [{ device, code: 'SESSION_EXISTS' }],
    });
    expect(await epochOf(device)).toBe(1);
    expect(await restoreSessions(deps(), path, { replace: true })).toEqual({ restored: [device], refused: [] });
    expect((await createSessionStore({ sealed, ring }).open(device, 2)).creds).toEqual({ me: { id: 'old' } });
  });

  it('names what it cannot restore: no such device, another ring', async () => {
    await fill(device, 'word');
    const path = file();
    await backupSessions(sealed, path, later);
    await database.sql`delete from session_keys`;
    await database.sql`delete from sessions`;
    const other = { ...deps(), ring: ringOf(['b', 2]) };
    expect(await restoreSessions(other, path, { replace: false })).toEqual({
      restored: [],
      refused: [{ device, code: 'SESSION_KEY_UNKNOWN' }],
    });
    await database.sql`update devices set deleted_at = now() where id = ${device}`;
    expect(await restoreSessions(deps(), path, { replace: false })).toEqual({
      restored: [],
      refused: [{ device, code: 'DEVICE_NOT_FOUND' }],
    });
    expect(await sealed.devices()).toEqual([]);
  });

  it('a file that is cut off or changed is refused before anything is written', async () => {
    await fill(device, 'word');
    const path = file();
    await backupSessions(sealed, path, later);
    const whole = readFileSync(path, 'utf8');
    for (const broken of [
      whole.slice(0, -20),
      whole.split('\n').slice(0, 2).join('\n'),
      whole.replace('"session"', '"sesslon"'),
      'hello\n',
      '',
    ]) {
      writeFileSync(path, broken);
      await expect(restoreSessions(deps(), path, { replace: true })).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
    }
    expect(await epochOf(device)).toBe(1);
  });

  it('carries sessions from files to Postgres', async () => {
    const files = createFileStore(join(folder, 'sessions'));
    await fill(device, 'moved', files);
    const path = file();
    await backupSessions(files, path, later);
    await restoreSessions(deps(), path, { replace: false });
    expect((await createSessionStore({ sealed, ring }).open(device, 2)).creds).toEqual({ me: { id: 'moved' } });
  });
});

describe('import of a folder of Baileys', () => {
  const made = async (creds: Partial<AuthenticationCreds>): Promise<string> => {
    const path = mkdtempSync(join(folder, 'auth-'));
    const { state, saveCreds } = await useMultiFileAuthState(path);
    Object.assign(state.creds, initAuthCreds(), creds);
    await state.keys.set({
      'pre-key': { '7': { private: Buffer.from([1]), public: Buffer.from([2]) } },
      session: { '491700000001_1.0': Buffer.from('ratchet') },
      'sender-key': { '123@g.us::491700000001_1::0': Buffer.from('sender') },
      'sender-key-memory': { '123@g.us': { '491700000001@s.whatsapp.net': true } },
      'app-state-sync-key': { 'AA/+==': proto.Message.AppStateSyncKeyData.fromObject({ keyData: Buffer.from('key') }) },
      'lid-mapping': { '491700000001': '77', '77_reverse': '491700000001' },
      tctoken: { '77@lid': { token: Buffer.from('token'), timestamp: '1' } },
    });
    await saveCreds();
    return path;
  };

  it('takes creds and keys of every type over, under the ids that Baileys asks for', async () => {
    const path = await made({ me: { id: '491700000009:3@s.whatsapp.net' }, account: { details: Buffer.from('signed') } });
    writeFileSync(join(path, 'notes.txt'), 'mine');
    const imported = await importFolder(deps(), device, path);
    expect(imported).toEqual({ keys: 8, ignored: ['notes.txt'], jid: '491700000009:3@s.whatsapp.net' });
    const session = await createSessionStore({ sealed, ring }).open(device, 2);
    expect(session.creds).toMatchObject({ me: { id: '491700000009:3@s.whatsapp.net' }, noiseKey: { private: expect.any(Buffer) } });
    expect(await session.get('session', ['491700000001_1.0'])).toEqual({ '491700000001_1.0': Buffer.from('ratchet') });
    expect(await session.get('sender-key', ['123@g.us::491700000001_1::0'])).not.toEqual({});
    expect(await session.get('sender-key-memory', ['123@g.us'])).toEqual({ '123@g.us': { '491700000001@s.whatsapp.net': true } });
    expect(await session.get('app-state-sync-key', ['AA/+=='])).toMatchObject({ 'AA/+==': { keyData: expect.anything() } });
    expect(await session.get('lid-mapping', ['77_reverse'])).toEqual({ '77_reverse': '491700000001' });
    expect(await session.get('tctoken', ['77@lid'])).toMatchObject({ '77@lid': { token: Buffer.from('token') } });
  });

  it('refuses what is not paired, is no JSON or is not there, and writes nothing', async () => {
    const unpaired = await made({ me: { id: '491700000009:3@s.whatsapp.net' } });
    await expect(importFolder(deps(), device, unpaired)).rejects.toMatchObject({ code: 'IMPORT_UNUSABLE' });
    const broken = await made({ me: { id: '491700000009:3@s.whatsapp.net' }, account: {} });
    writeFileSync(join(broken, 'pre-key-7.json'), '{"half');
    await expect(importFolder(deps(), device, broken)).rejects.toMatchObject({ code: 'IMPORT_UNUSABLE' });
    await expect(importFolder(deps(), device, join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'IMPORT_UNUSABLE' });
    expect(await epochOf(device)).toBe(1);
    expect(await sealed.devices()).toEqual([]);
  });
});

describe('re-sealing', () => {
  const both = ringOf(['b', 2], ['a', 1]);

  it.each(['Postgres', 'a folder'])(
    'seals everything anew with the newest key, after which the old key is not needed: %s',
    async (kind) => {
      const on = kind === 'Postgres' ? sealed : createFileStore(mkdtempSync(join(folder, 'reseal-')));
      await fill(device, 'word', on);
      expect(await resealSessions(on, both, true)).toMatchObject({ owners: 1, blobs: 3, resealed: 0, left: { a: 3 } });
      expect(await resealSessions(on, both)).toMatchObject({ resealed: 3, overtaken: 0, unreadable: [], left: {} });
      const session = await createSessionStore({ sealed: on, ring: ringOf(['b', 2]) }).open(device, 1);
      expect(session.creds).toEqual({ me: { id: 'word' } });
      expect(await session.get('tctoken', ['b'])).toEqual({ b: 'word' });
      expect(await resealSessions(on, both)).toMatchObject({ resealed: 0 });
    },
  );

  it('an owner that writes meanwhile is not undone', async () => {
    await fill(device, 'word');
    const racing: Sealed = {
      ...sealed,
      swap: async (id, changes) => {
        const session = await createSessionStore({ sealed, ring: both }).open(device, 1);
        await session.set({ session: { a: 'written meanwhile' } });
        return sealed.swap(id, changes);
      },
    };
    expect(await resealSessions(racing, both)).toMatchObject({ resealed: 2, overtaken: 1 });
    const session = await createSessionStore({ sealed, ring: ringOf(['b', 2]) }).open(device, 1);
    expect(await session.get('session', ['a'])).toEqual({ a: 'written meanwhile' });
  });

  it('what does not open stays as it is and is named', async () => {
    await fill(device, 'word');
    await database.sql`update session_keys set value = overlay(value placing '\\x0000'::bytea from 40 for 2) where type = 'tctoken'`;
    expect(await resealSessions(sealed, both)).toMatchObject({
      resealed: 2,
      unreadable: [{ owner: device, type: 'tctoken', code: 'SESSION_CORRUPT' }],
      left: { a: 1 },
    });
  });

  it('reaches proxies and webhook secrets, and leaves what somebody set meanwhile', async () => {
    const { sql } = database;
    const webhook = uuidV7(clock.wall());
    const proxy = ring.seal(Buffer.from('http://user:word@proxy.example:3128/'), `proxy:${device}`).toString('base64');
    await sql`update devices set settings = ${sql.json({ proxy: { sealed: proxy, shown: 'http://proxy.example:3128' }, presence: true })} where id = ${device}`;
    await sql`insert into webhooks (id, tenant_id, url, events, secret)
      values (${webhook}, ${device}, 'https://example.com/', '{message.sent}', ${ring.seal(Buffer.from('whsec_word'), `webhook:${webhook}`)})`;
    expect(await resealSecrets(sql, both, true)).toMatchObject({ owners: 2, blobs: 2, resealed: 0, left: { a: 2 } });
    expect(await resealSecrets(sql, both)).toMatchObject({ resealed: 2, overtaken: 0, unreadable: [], left: {} });
    const only = ringOf(['b', 2]);
    const [row] = await sql<{ settings: { proxy: { sealed: string; shown: string }; presence: boolean }; secret: Buffer }[]>`
      select d.settings, w.secret from devices d, webhooks w where d.id = ${device} and w.id = ${webhook}`;
    expect(row?.settings).toMatchObject({ proxy: { shown: 'http://proxy.example:3128' }, presence: true });
    expect(only.open(Buffer.from(row?.settings.proxy.sealed ?? '', 'base64'), `proxy:${device}`).toString()).toBe(
      'http://user:word@proxy.example:3128/',
    );
    expect(only.open(row?.secret ?? Buffer.alloc(0), `webhook:${webhook}`).toString()).toBe('whsec_word');

    // on one connection statements keep their order: the secret is set between the read and the swap
    const one = await sql.reserve();
    const third = ringOf(['c', 3], ['b', 2]);
    const meanwhile: Promise<unknown>[] = [];
    const racing: KeyRing = {
      ...third,
      seal(plain, context) {
        if (context.startsWith('webhook:'))
          meanwhile.push(one`update webhooks set secret = ${third.seal(Buffer.from('set'), context)} where id = ${webhook}`.execute());
        return third.seal(plain, context);
      },
    };
    try {
      expect(await resealSecrets(one, racing)).toMatchObject({ resealed: 1, overtaken: 1, left: {} });
      await Promise.all(meanwhile);
    } finally {
      one.release();
    }
    const [kept] = await sql<{ secret: Buffer }[]>`select secret from webhooks where id = ${webhook}`;
    expect(third.open(kept?.secret ?? Buffer.alloc(0), `webhook:${webhook}`).toString()).toBe('set');
    expect(await resealSecrets(sql, both)).toMatchObject({ unreadable: [{ type: 'proxy' }, { type: 'webhook' }], left: { c: 2 } });
  });
});
