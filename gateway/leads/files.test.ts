import { describe, expect, it } from 'vitest';
import { attributeName, columnsOf, momentOf } from './columns.ts';
import { createCsvReader, delimiterOf, FileError, RECORD_LIMIT } from './csv.ts';
import { cellOf, csvLine, EXPORT_HEAD, jsonLine } from './export.ts';
import { createPhoneReader, isRegion } from './phone.ts';
import { createLeadSource, type SourceOptions, type SourceRow } from './source.ts';

const NOTHING = { tags: [], niche: null, stage: null, consentSource: null, consentAt: null };
const OPTIONS: SourceOptions = {
  format: 'CSV',
  encoding: null,
  delimiter: null,
  head: true,
  mapping: {},
  rest: 'keep',
  defaults: NOTHING,
};

/** Reads a file in pieces of so many bytes. */
async function read(bytes: Buffer | string, options: Partial<SourceOptions> = {}, piece = 7): Promise<readonly SourceRow[]> {
  const source = createLeadSource({ ...OPTIONS, ...options });
  const file = Buffer.from(bytes as string);
  const rows: SourceRow[] = [];
  for (let at = 0; at < file.length; at += piece) rows.push(...(await source.feed(file.subarray(at, at + piece))));
  return [...rows, ...(await source.end())];
}
const shown = (rows: readonly SourceRow[]): unknown[] =>
  rows.map((one) => ('lead' in one ? [one.row, one.lead.phone, one.lead.name] : [one.row, one.field, one.message]));

describe('a CSV file', () => {
  it('gives the same leads however it is cut into pieces', async () => {
    const file = 'Phone,Name,City,Tags\r\n+491,"Lee, ""Ann""\nB",Ulm,"a;b"\r\n\r\n+492,,,\r\n+493,Ö,"",c';
    const whole = await read(file, {}, 1000);
    expect(shown(whole)).toEqual([
      [2, '+491', 'Lee, "Ann"\nB'],
      [3, '+492', null],
      [4, '+493', 'Ö'],
    ]);
    expect(whole[0]).toMatchObject({ lead: { tags: ['a', 'b'], attributes: { city: 'Ulm' } } });
    for (const piece of [1, 2, 3, 5, 11]) expect(await read(file, {}, piece), `pieces of ${piece}`).toEqual(whole);
  });

  it('finds its separator, its end of lines and its encoding by itself', async () => {
    expect([delimiterOf('a;"b,c,d";e'), delimiterOf('a\tb'), delimiterOf('a|b'), delimiterOf('a')]).toEqual([';', '\t', '|', ',']);
    const file = 'phone;name\n+491;Jürgen\n';
    const wanted = [[2, '+491', 'Jürgen']];
    expect(shown(await read(file))).toEqual(wanted);
    expect(shown(await read(file.replaceAll('\n', '\r')))).toEqual(wanted);
    expect(shown(await read(`\uFEFF${file}`))).toEqual(wanted);
    const utf16 = Buffer.from(`\uFEFF${file}`, 'utf16le');
    expect(shown(await read(utf16))).toEqual(wanted);
    expect(shown(await read(Buffer.from(utf16).swap16()))).toEqual(wanted);
    expect(shown(await read(Buffer.from(file, 'latin1'), { encoding: 'windows-1252' }))).toEqual(wanted);
  });

  it('names row and column of bytes that are no characters', async () => {
    const [row] = await read(Buffer.from('phone;name\n+491;Jürgen\n', 'latin1'));
    // the rules for leads find it (schema/domain/leads.ts), whichever way it came
    expect(row).toMatchObject({ row: 2, lead: { name: 'J\uFFFDrgen' } });
  });

  it('names row and column of a broken quote, and reads on with the next line', async () => {
    const rows = await read('phone,name,city\n+491,"Ann" Lee,Ulm\n+492,An"n,Ulm\n+493,"Bob",Ulm\n+494,x\n+495,a,b,c\n+496,"z\n');
    expect(shown(rows)).toEqual([
      [2, 'name', expect.stringContaining('a quote ends in the middle of the field')],
      [3, 'name', expect.stringContaining('a quote begins in the middle')],
      [4, '+493', 'Bob'],
      [5, '', 'expected 3 columns, got 2'],
      [6, '', 'expected 3 columns, got 4'],
      [7, 'name', expect.stringContaining('never closed')],
    ]);
  });

  it('stops at a line without an end, and at a quote that swallows the rest, and says where', async () => {
    const rows = `phone,name\n${'+491,x\n'.repeat(3)}`;
    const long = 'y'.repeat(RECORD_LIMIT + 10);
    await expect(read(`${rows}+49,${long}`, {}, 4096)).rejects.toThrow(`row 5 (line 5): no end of the line within ${RECORD_LIMIT} bytes`);
    await expect(read(`${rows}+49,"${long}`, {}, 4096)).rejects.toThrow(/row 5 \(line 5\): a quote is opened in column 2/);
    await expect(read(long, {}, 4096)).rejects.toThrow(FileError);
    const reader = createCsvReader(',');
    await expect(
      (async () => {
        for (let n = 0; n < 100; n++) await reader.feed(Buffer.from('z'.repeat(RECORD_LIMIT / 10)));
      })(),
    ).rejects.toThrow(FileError);
  });

  it('refuses what is no text, and heads that cannot be meant', async () => {
    await expect(read(Buffer.from([0x50, 0x4b, 3, 4, 0, 0]), {}, 100)).rejects.toThrow('Excel');
    await expect(read(Buffer.from('phone\n+491\n', 'utf16le'), {}, 100)).rejects.toThrow('utf-16le');
    await expect(read('')).rejects.toThrow('the file is empty');
    await expect(read('name,city\nAnn,Ulm\n')).rejects.toThrow('row 1: no column holds phone numbers');
    await expect(read('"na"me,phone\nAnn,Ulm\n')).rejects.toThrow('row 1, column 1');
    await expect(read('phone,x\n+491,1\n', { mapping: { phone: 'Handy' } })).rejects.toThrow(
      'column "Handy" (for phone) is not in the file',
    );
  });

  it('maps columns: told ones first, known heads by themselves, the others are attributes or left out', async () => {
    const file = 'Kunde,Mobile No.,Town,Stage,phone\nAnn,+491,Ulm,hot,+499\n';
    const told = { phone: 'Mobile No.', name: 'Kunde', city: 'Town' };
    expect(await read(file, { mapping: told })).toEqual([
      { row: 2, lead: { ...NOTHING, phone: '+491', name: 'Ann', stage: 'hot', attributes: { city: 'Ulm' } } },
    ]);
    expect(await read(file, { mapping: told, rest: 'ignore' })).toMatchObject([{ lead: { attributes: { city: 'Ulm' }, stage: 'hot' } }]);
    expect(columnsOf(['phone', 'Shoe size!'], {}, 'keep')).toMatchObject([{ target: 'phone' }, { attribute: 'shoe_size' }]);
    expect(columnsOf(['phone', ''], {}, 'keep')).toContain('column 2 has no name');
    expect(columnsOf(['phone', 'a', 'A '], {}, 'keep')).toContain('twice');
    expect(attributeName('  Größe (cm) ')).toBe('größe_cm');
    expect(await read('+491,Ann\n', { head: false, mapping: { phone: '1', name: '2' } })).toMatchObject([
      { row: 1, lead: { name: 'Ann' } },
    ]);
  });

  it('takes consent from its row or, where that says nothing, from the import', async () => {
    const defaults = { ...NOTHING, tags: ['may'], consentSource: 'fair', consentAt: 5 };
    const rows = await read('phone,consent source,consent_at,tags\n+491,shop,2026-05-04,x\n+492,,,\n+493,,soon,\n', { defaults });
    expect(rows).toMatchObject([
      { lead: { consentSource: 'shop', consentAt: Date.UTC(2026, 4, 4), tags: ['x', 'may'] } },
      { lead: { consentSource: 'fair', consentAt: 5, tags: ['may'] } },
      { row: 4, field: 'consent_at', message: expect.stringContaining('expected a moment') },
    ]);
    expect([momentOf('2026-05-04 10:00'), momentOf('1777888800'), momentOf('2026-13-01'), momentOf('4.5.2026')]).toEqual([
      Date.UTC(2026, 4, 4, 10),
      1_777_888_800_000,
      null,
      null,
    ]);
  });
});

describe('an NDJSON file', () => {
  it('gives a lead a line, and names the line and the key of what is none', async () => {
    const lines = [
      '{"phone": "+491", "name": "Ann", "tags": ["a", "b"], "city": "Ulm", "attributes": {"seats": 4}, "consent_at": "2026-05-04"}',
      'nope',
      '',
      '[1]',
      '{"phone": "+492", "tags": {"a": 1}}',
      '{"phone": "+493", "city": {"x": 1}}',
      '{"Tel": 491}',
    ].join('\r\n');
    const rows = await read(lines, { format: 'NDJSON', mapping: { phone: 'Tel' }, rest: 'keep' });
    expect(rows[0]).toMatchObject({
      row: 1,
      lead: { name: 'Ann', tags: ['a', 'b'], attributes: { city: 'Ulm', seats: '4' }, consentAt: Date.UTC(2026, 4, 4) },
    });
    expect(rows.slice(1)).toMatchObject([
      { row: 2, message: 'expected a JSON object: it is no JSON' },
      { row: 4, message: 'expected a JSON object' },
      { row: 5, field: 'tags' },
      { row: 6, field: 'city' },
      { row: 7, lead: { phone: '491' } },
    ]);
    await expect(read(`{"a":"${'x'.repeat(RECORD_LIMIT)}`, { format: 'NDJSON' }, 10_000)).rejects.toThrow(/row 1: no end of the line/);
  });
});

describe('phone numbers', () => {
  it.each([
    ['0151 234 567 89', 'DE', '+4915123456789'],
    ['+49 (0)151/23456789', null, '+4915123456789'],
    ['004915123456789', null, '+4915123456789'],
    ['(202) 456-1111', 'US', '+12024561111'],
    [' +447911123456 ', 'DE', '+447911123456'],
  ])('%s of %s', (text, region, phone) => expect(createPhoneReader(region)(text)).toEqual({ phone }));

  it.each([
    ['', 'DE', 'empty'],
    ['0151 23456789', null, 'country code'],
    ['hello', 'DE', 'expected a phone number'],
    ['+4915', null, 'too short'],
    ['+999123456789', null, 'no country'],
    ['+12025550100 ext. 5', null, 'extension'],
    ['+1 555 000 0001', null, 'in use'],
    ['x'.repeat(99), 'DE', 'longer'],
  ])('%s of %s is refused: %s', (text, region, why) =>
    expect(createPhoneReader(region)(text)).toEqual({ fault: expect.stringContaining(why) }),
  );

  it('that are only possible are taken when asked so', () => {
    expect(createPhoneReader(null, 'possible')('+1 555 000 0001')).toEqual({ phone: '+15550000001' });
    expect([isRegion('DE'), isRegion('de'), isRegion('XX'), isRegion('')]).toEqual([true, false, false, false]);
  });
});

describe('an export', () => {
  const lead = {
    no: 1,
    id: 'i',
    tenantId: 't',
    phone: '+491',
    lid: null,
    name: '=HYPERLINK("x")',
    tags: ['a', 'b'],
    niche: null,
    stage: "'=x",
    attributes: { note: 'two\nlines, "quoted"', sum: '=1+1' },
    consentSource: '@fair',
    consentAt: 0,
    createdAt: 1,
  };
  it('is read back as it was, and holds nothing that a spreadsheet would run', async () => {
    const line = csvLine(lead);
    expect(line).toContain(`"'=HYPERLINK(""x"")"`);
    expect(await read(`${EXPORT_HEAD.join(',')}\r\n${line}\r\n`)).toEqual([
      {
        row: 2,
        lead: {
          phone: '+491',
          name: lead.name,
          tags: ['a', 'b'],
          niche: null,
          stage: "'=x",
          attributes: lead.attributes,
          consentSource: '@fair',
          consentAt: 0,
        },
      },
    ]);
    expect(cellOf(' x')).toBe('" x"');
    expect(await read(`${jsonLine(lead)}\n`, { format: 'NDJSON' })).toMatchObject([
      { lead: { name: lead.name, attributes: lead.attributes } },
    ]);
  });
});
