import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { createDatabase, type TestDatabase } from '../../ops/testing/index.ts';
import { MEDIA_LIMITS, uuidV7 } from '../../schema/domain/index.ts';
import { findUpload } from '../../schema/sql/index.ts';
import { createUploads, openUpload } from './uploads.ts';

let database: TestDatabase;
let tenantId: string;
let folder: string;
beforeAll(async () => {
  database = await createDatabase();
  tenantId = uuidV7(systemClock.wall());
  folder = await mkdtemp(join(tmpdir(), 'flotilla-uploads-'));
  await database.sql`insert into tenants (id, name) values (${tenantId}, ${tenantId})`;
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const PICTURE = Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), randomBytes(700_000)]);
async function* pieces(bytes: Buffer, size = 50_001): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function* endless(): AsyncGenerator<Buffer> {
  yield PICTURE;
  for (;;) yield Buffer.alloc(100_000);
}
async function* broken(): AsyncGenerator<Buffer> {
  yield PICTURE;
  throw new Error('the client went away');
}

describe.each(['postgres', 'file'] as const)('uploads kept in %s', (MEDIA_STORE) => {
  const settings = () => ({ MEDIA_STORE, MEDIA_KEEP_DAYS: 1, MEDIA_TENANT_BYTES: 10_000_000, DATA_DIR: folder });
  const fresh = () => ({ id: uuidV7(systemClock.wall()), tenantId, kind: 'image' as const, type: 'image/jpeg', fileName: null });
  const read = async (id: string): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of (await openUpload(database.sql, folder, id)).bytes) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  const left = async (id: string): Promise<number> => {
    const rows =
      await database.sql`select 1 from media_uploads where id = ${id} union all select 1 from media_chunks where upload_id = ${id}`;
    const files = await readdir(join(folder, 'media')).catch(() => []);
    return rows.length + files.filter((name) => name === id).length;
  };

  it('come out as they went in, for their tenant only', async () => {
    const upload = fresh();
    const row = await createUploads(database, settings()).put(upload, pieces(PICTURE));
    expect(row).toMatchObject({ ...upload, store: MEDIA_STORE, bytes: PICTURE.length });
    expect((await read(upload.id)).equals(PICTURE)).toBe(true);
    expect(await findUpload(database.sql, upload.id, tenantId)).toEqual(row);
    expect(await findUpload(database.sql, upload.id, uuidV7(systemClock.wall()))).toBeNull();
  });

  it('too large, of another type than it says, empty, broken off: not kept (U1, U2)', async () => {
    const uploads = createUploads(database, { ...settings(), MEDIA_TENANT_BYTES: 1e9 });
    const wrong: readonly [AsyncIterable<Buffer>, object][] = [
      [endless(), { code: 'MEDIA_TOO_LARGE' }],
      [pieces(Buffer.from('<html> is no picture')), { code: 'MEDIA_TYPE' }],
      [pieces(Buffer.alloc(0)), { code: 'MEDIA_TYPE' }],
      [broken(), { message: 'the client went away' }],
    ];
    for (const [chunks, error] of wrong) {
      const upload = fresh();
      await expect(uploads.put(upload, chunks)).rejects.toMatchObject(error);
      expect(await left(upload.id)).toBe(0);
      await expect(read(upload.id)).rejects.toMatchObject({ code: 'MEDIA_NOT_FOUND' });
    }
    expect(MEDIA_LIMITS.image.bytes).toBeLessThan(1e9);
  });

  it('a tenant has only so much; what is over is forgotten, bytes and all', async () => {
    const [first, second] = [fresh(), fresh()];
    await createUploads(database, settings()).put(first, pieces(PICTURE));
    const full = createUploads(database, { ...settings(), MEDIA_TENANT_BYTES: PICTURE.length });
    await expect(full.put(second, pieces(PICTURE))).rejects.toMatchObject({ code: 'MEDIA_REFUSED' });
    await database.sql`update media_uploads set expires_at = now() - interval '1 second' where id = ${first.id}`;
    await expect(read(first.id)).rejects.toMatchObject({ code: 'MEDIA_NOT_FOUND' });
    expect(await full.purge()).toBe(1);
    expect(await left(first.id)).toBe(0);
    await expect(read('../../etc/passwd')).rejects.toMatchObject({ code: 'MEDIA_NOT_FOUND' });
  });
});
