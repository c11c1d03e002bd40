import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { type Data, headersOf, startTestGateway, type TestGateway } from '../gateway.testing.ts';

/** Files of leads through a whole gateway, over the wire. */
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());

const upload = async (
  file: BodyInit,
  query = '',
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: Data }> => {
  const answer = await fetch(`${gateway.base}/api/leads/import${query}`, {
    method: 'POST',
    headers: { ...headersOf(), 'content-type': 'text/csv', ...headers },
    body: file,
    duplex: 'half',
  } as RequestInit);
  return { status: answer.status, body: await answer.json() };
};
const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.base}${path}`, { headers: { ...headersOf(), ...headers } });
const ask = (query: string, tenant?: string): Promise<Data> => gateway.ask(query, { tenant });

describe('a file of leads', () => {
  it('comes in, with faults named by row and column in a report, and comes out as it went in', async () => {
    const file = [
      'Name,Handy,Stadt,Tags',
      'Ann,0151 23456789,Ulm,vip;new',
      'Bob,12,Ulm,',
      '"Cy" x,0151 23456788,Ulm,',
      'Dan,0151 23456787,Ulm',
      'Ann Lee,+49 151 23456789,,late',
      'Eve,0151 23456786,,',
      '=sum(),0151 23456785,,',
    ].join('\n');
    const { status, body } = await upload(file, '?region=de&tags=may&consentSource=fair&consentAt=2026-05-04');
    expect({ status, ...body, id: '' }).toMatchObject({ status: 200, state: 'DONE', rows: 7, made: 3, changed: 1, faulty: 3, error: null });
    expect(body.faults).toEqual([
      { row: 3, field: 'Handy', message: expect.stringContaining('too short') },
      { row: 4, field: 'Name', message: expect.stringContaining('a quote ends in the middle') },
      { row: 5, field: '', message: 'expected 4 columns, got 3' },
    ]);
    const report = await get(body.report);
    expect(report.headers.get('content-disposition')).toContain('faults-');
    expect((await report.text()).split('\r\n').slice(0, 2)).toEqual([
      'row,column,expected',
      '3,Handy,expected a phone number: it is too short or too long for its country',
    ]);
    const { data } = await ask(
      `{ leadImport(id: "LeadImport:${body.id}") { state rows made changed faulty bytes totalBytes report endedAt } leadImports { nodes { id } }
         leads(tag: "may") { nodes { phone name tags attributes consentSource consentAt } } }`,
    );
    expect(data.leadImport).toMatchObject({
      state: 'DONE',
      rows: 7,
      faulty: 3,
      bytes: file.length,
      totalBytes: file.length,
      report: body.report,
    });
    expect(data.leadImports.nodes).toEqual([{ id: `LeadImport:${body.id}` }]);
    // the later row of a number is the later word; what it does not say stays
    expect(data.leads.nodes.find((lead: Data) => lead.phone === '+4915123456789')).toEqual({
      phone: '+4915123456789',
      name: 'Ann Lee',
      tags: ['vip', 'new', 'may', 'late'],
      attributes: '{"stadt":"Ulm"}',
      consentSource: 'fair',
      consentAt: '2026-05-04T00:00:00.000Z',
    });
    for (const format of ['csv', 'ndjson'] as const) {
      const out = await get(`/api/leads/export?format=${format}&tag=may`);
      expect(out.headers.get('content-type')).toContain(format === 'csv' ? 'text/csv' : 'x-ndjson');
      const text = await out.text();
      expect(text).toContain('+4915123456785');
      // again into another tenant: the same leads
      await ask(`mutation { createTenant(input: {name: "${format}"}) { errors { code } } }`);
      const again = await upload(text, `?format=${format}`, { 'x-flotilla-tenant': format });
      expect(again.body).toMatchObject({ state: 'DONE', made: 3, faulty: 0 });
      const copy = await (await get('/api/leads/export?format=ndjson', { 'x-flotilla-tenant': format })).text();
      const plain = (lines: string): Data[] =>
        lines
          .trim()
          .split('\n')
          .map((line) => ({ ...JSON.parse(line), id: null, createdAt: null, tags: JSON.parse(line).tags.sort() }))
          .sort((a, b) => (a.phone < b.phone ? -1 : 1));
      expect(plain(copy)).toEqual(plain(await (await get('/api/leads/export?format=ndjson&tag=may')).text()));
    }
  });

  it('is read with the region of its tenant when it names none', async () => {
    const { data } = await ask('mutation { updateTenant(input: {defaultRegion: "fr"}) { tenant { defaultRegion } errors { code path } } }');
    expect(data.updateTenant).toEqual({ tenant: { defaultRegion: 'FR' }, errors: [] });
    expect((await upload('phone\n06 12 34 56 78\n')).body).toMatchObject({ made: 1, faulty: 0 });
    const bad = await ask('mutation { updateTenant(input: {defaultRegion: "XX"}) { errors { code path } } }');
    expect(bad.data.updateTenant.errors).toEqual([{ code: 'INVALID_INPUT', path: ['input', 'defaultRegion'] }]);
    const batch = await ask(
      'mutation { importLeads(input: {region: "FR", leads: [{phone: "06 12 34 56 79"}, {phone: "1"}]}) { made faults { index } } }',
    );
    expect(batch.data.importLeads).toEqual({ made: 1, faults: [{ index: 1 }] });
  });

  it('belongs to a tenant whose rules can be set, each checked before any is', async () => {
    const set = async (input: string): Promise<Data> =>
      (
        await ask(
          `mutation { updateTenant(input: {${input}}) { tenant { defaultRegion consentRequired stopWords startWords recipientCap { messages days } flowsPerMinute } errors { code path } } }`,
        )
      ).data.updateTenant;
    const before = (
      await set(
        'consentRequired: true, stopWords: ["Lass mich!", "lass  mich", "basta"], startWords: ["Da capo"], recipientCap: {messages: 2, days: 7}',
      )
    ).tenant;
    expect(before).toMatchObject({
      consentRequired: true,
      stopWords: ['lass mich', 'basta'],
      startWords: ['da capo'],
      recipientCap: { messages: 2, days: 7 },
    });
    for (const [input, path] of [
      ['consentRequired: false, stopWords: ["?!"]', ['input', 'stopWords', '0']],
      [`consentRequired: false, startWords: ["da", "${'x'.repeat(61)}"]`, ['input', 'startWords', '1']],
      [`stopWords: [${Array.from({ length: 101 }, (_, index) => `"w${index}"`).join()}]`, ['input', 'stopWords']],
      ['consentRequired: false, startWords: ["basta"]', ['input']],
      ['consentRequired: false, flowsPerMinute: 1000001', ['input', 'flowsPerMinute']],
      ['consentRequired: false, recipientCap: {messages: 0, days: 7}', ['input', 'recipientCap', 'messages']],
      ['consentRequired: false, recipientCap: {messages: 1, days: 91}', ['input', 'recipientCap', 'days']],
    ] as const)
      expect(await set(input)).toEqual({ tenant: null, errors: [{ code: 'INVALID_INPUT', path }] });
    expect(await set('')).toEqual({ tenant: before, errors: [] });
    const after = await set('consentRequired: false, stopWords: [], startWords: [], recipientCap: null, flowsPerMinute: null');
    expect(after.tenant).toEqual({
      ...before,
      consentRequired: false,
      stopWords: [],
      startWords: [],
      recipientCap: null,
      flowsPerMinute: null,
    });
  });

  it('that cannot be read to its end says where it stopped; what stood before is in', async () => {
    const long = await upload(`phone\n+4915123450001\n${'x'.repeat(300_000)}`);
    expect(long).toMatchObject({
      status: 422,
      body: { state: 'FAILED', rows: 1, made: 1, error: expect.stringContaining('row 3 (line 3)') },
    });
    const heads = await upload('name\nAnn\n');
    expect(heads.body.error).toMatch(/^row 1: no column holds phone numbers: its columns are "name"/);
    expect((await upload('')).body.error).toBe('the file is empty');
    const { data } = await ask(`{ leadImport(id: "${long.body.id}") { state error } }`);
    expect(data.leadImport).toMatchObject({ state: 'FAILED', error: expect.stringContaining('row 3') });
  });

  it('is refused before it is read for what its request says wrong', async () => {
    const refusals: readonly (readonly [string, Record<string, string>, number])[] = [
      ['?region=XX', {}, 400],
      ['?columns={', {}, 400],
      ['?columns={"phone":1,"a b":"x"}', {}, 400],
      ['?speed=1', {}, 400],
      ['?id=1', {}, 400],
      ['?encoding=klingon', {}, 400],
      [`?tags=${'x'.repeat(300)}`, {}, 400],
      ['', { 'content-type': 'multipart/form-data' }, 415],
      ['', { authorization: 'Bearer flk_nobody-has-this-key' }, 401],
      ['', { origin: 'https://elsewhere.example' }, 403],
    ];
    for (const [query, headers, status] of refusals) expect((await upload('phone\n', query, headers)).status, query).toBe(status);
    expect((await upload('phone\n', '', headersOf({ key: await gateway.keyOf('SENDER') }))).status).toBe(403);
  });

  it('belongs to its tenant: nobody else sees report, progress or leads', async () => {
    const { body } = await upload('phone\n1\n');
    await ask('mutation { createTenant(input: {name: "other"}) { errors { code } } }');
    const other = { 'x-flotilla-tenant': 'other' };
    expect((await get(body.report, other)).status).toBe(404);
    expect(await (await get('/api/leads/export', other)).text()).toMatch(/^id,phone[^\n]*\r\n$/);
    const { data } = await ask(`{ leadImport(id: "${body.id}") { id } leadImports { nodes { id } } }`, 'other');
    expect(data).toEqual({ leadImport: null, leadImports: { nodes: [] } });
    expect((await upload('phone\n1\n', `?id=${body.id}`, other)).status).toBe(409);
  });

  it('is watched while it comes, and stops when it is cancelled', async () => {
    const id = uuidV7(systemClock.wall());
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('phone\n');
      for (let n = 0; ; n++) {
        yield Buffer.from(Array.from({ length: 500 }, (_, k) => `+49151${10_000_000 + n * 500 + k}\n`).join(''));
        await systemClock.sleep(5);
      }
    };
    const answer = upload(pieces() as unknown as BodyInit, `?id=${id}`).catch(() => null);
    const progress = async (): Promise<Data> => (await ask(`{ leadImport(id: "${id}") { state rows made } }`)).data.leadImport;
    await expect.poll(async () => (await progress())?.rows ?? 0, { timeout: 30_000 }).toBeGreaterThan(1000);
    const { data } = await ask(`mutation { cancelLeadImport(input: {id: "${id}"}) { leadImport { state } errors { code } } }`);
    expect(data.cancelLeadImport).toEqual({ leadImport: { state: 'CANCELLED' }, errors: [] });
    // an endless body: its sender is cut off, or hears 409
    expect([null, 409]).toContain((await answer)?.status ?? null);
    // what was being written then is written to its end; then nothing comes any more
    let before = -1;
    await expect
      .poll(async () => {
        const still = (await progress()).rows === before;
        before = (await progress()).rows;
        await systemClock.sleep(300);
        return still;
      })
      .toBe(true);
  });
});
