import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importLeads, intent, liftOptOuts, loadOptWords, loadTenants, setTenantRules, storeInbound, suppress } from './index.ts';
import { createWorld, newId, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

/** what the ledger says to sending one new message to each of these, from a device each; `between`: after they were accepted */
async function verdicts(
  tenantId: string,
  recipients: readonly string[],
  lids: readonly (string | null)[] = [],
  between: () => Promise<unknown> = async () => {},
): Promise<unknown[]> {
  const devices = await world.devices(recipients.length, { tenantId });
  const items = [];
  for (const [index, recipient] of recipients.entries()) {
    const device = devices[index] ?? '';
    const id = await world.send(device, { tenantId, recipient });
    const lid = lids[index] ?? null;
    if (lid !== null) await world.sql.unsafe('update messages set recipient_lid = $2 where id = $1', [id, lid]);
    items.push(world.intentItem(device, await world.own(device), id));
  }
  await between();
  return (await intent(world.sql, items)).map((answer) => ('cause' in answer ? [answer.verdict, answer.cause] : answer.verdict));
}
const lead = (tenantId: string, phone: string, consentAt: number | null) => ({
  id: newId(),
  tenantId,
  phone,
  name: null,
  tags: [],
  stage: null,
  niche: null,
  attributes: {},
  consentSource: null,
  consentAt,
});

describe('consent', () => {
  it('is asked for where the tenant asks for it, at the intent, by number and by LID (N10)', async () => {
    const tenantId = await world.tenant();
    const people = ['+4915130000001', '+4915130000002', '+4915130000003', '+4915130000004'];
    const lids = [null, null, null, '31@lid'];
    await importLeads(world.sql, [
      lead(tenantId, '+4915130000001', now()),
      lead(tenantId, '+4915130000002', null),
      lead(tenantId, '+4915130000009', now()),
    ]);
    await world.sql.unsafe(`update leads set lid = '31@lid' where tenant_id = $1 and phone = '+4915130000009'`, [tenantId]);
    expect(await verdicts(tenantId, people, lids)).toEqual(['PASS', 'PASS', 'PASS', 'PASS']);

    expect(await setTenantRules(world.sql, tenantId, { consentRequired: true })).toBe(true);
    expect(await verdicts(tenantId, people, lids)).toEqual([
      'PASS',
      ['SUPPRESSED', 'CONSENT_MISSING'],
      ['SUPPRESSED', 'CONSENT_MISSING'],
      'PASS',
    ]);
    // of another tenant nobody asks, and its leads give no consent here
    expect(await verdicts(world.tenantId, people.slice(1, 2))).toEqual(['PASS']);
    await importLeads(world.sql, [lead(world.tenantId, '+4915130000003', now())]);
    expect(await verdicts(tenantId, people.slice(2, 3))).toEqual([['SUPPRESSED', 'CONSENT_MISSING']]);

    // who said stop has said stop, consent or not
    const stop = { id: newId(), tenantId, phone: '+4915130000001', lid: null, reason: 'OPT_OUT', source: 'inbound' };
    expect(await verdicts(tenantId, people.slice(0, 1), [], () => suppress(world.sql, [stop]))).toEqual([
      ['SUPPRESSED', 'RECIPIENT_SUPPRESSED'],
    ]);
  });

  it('keeps what is left out, and knows no strangers', async () => {
    const tenantId = await world.tenant();
    expect(await loadOptWords(world.sql, [tenantId])).toEqual([]);
    await setTenantRules(world.sql, tenantId, { stopWords: ['basta', 'a "b", c\\'], consentRequired: true });
    await setTenantRules(world.sql, tenantId, { startWords: ['da capo'] });
    expect(await loadOptWords(world.sql, [tenantId, world.tenantId])).toEqual([
      { id: tenantId, stop: ['basta', 'a "b", c\\'], start: ['da capo'] },
    ]);
    await setTenantRules(world.sql, tenantId, { stopWords: [], startWords: [] });
    expect(await loadTenants(world.sql, [tenantId])).toMatchObject([{ consentRequired: true, stopWords: [], startWords: [] }]);
    expect(await setTenantRules(world.sql, newId(), { consentRequired: true })).toBe(false);
  });
});

describe('start after stop', () => {
  const phones = async (): Promise<string[]> =>
    (
      await world.sql.unsafe<{ who: string }[]>('select coalesce(phone, lid) as who from suppressions where tenant_id = $1', [
        world.tenantId,
      ])
    )
      .map(({ who }) => who)
      .sort();

  it('takes back what the person said, by number and LID; not an operator’s word, not twice, not what is older than the stop (W1, W2)', async () => {
    const [deviceId = ''] = await world.devices(1);
    const { tenantId } = world;
    const row = (phone: string | null, lid: string | null, reason = 'OPT_OUT') => ({
      id: newId(),
      tenantId,
      phone,
      lid,
      reason,
      source: 'inbound',
    });
    const start = (phone: string | null, lid: string | null, id: string, receivedAt: number) => ({
      tenantId,
      phone,
      lid,
      deviceId,
      id,
      receivedAt,
    });
    await world.sql.unsafe(`insert into identities (tenant_id, phone, lid) values ($1, '+4915140000001', '41@lid')`, [tenantId]);
    await suppress(world.sql, [
      row('+4915140000001', null),
      row('+4915140000002', null, 'COMPLAINT'),
      row(null, '43@lid'),
      row('+4915140000004', null),
    ]);
    const before = ['+4915140000001', '+4915140000002', '+4915140000004', '41@lid', '43@lid'];
    expect(await phones()).toEqual(before);

    // older than the stop; of a message that is stored already
    const later = now() + 60_000;
    await storeInbound(world.sql, [
      { deviceId, id: 'said', tenantId, sender: '+4915140000004', senderLid: null, body: 'start', receivedAt: later },
    ]);
    expect(
      await liftOptOuts(world.sql, [start('+4915140000001', null, 'old', now() - 60_000), start('+4915140000004', null, 'said', later)]),
    ).toBe(0);
    expect(await phones()).toEqual(before);

    // the LID of the first stands for both of its rows; the second was suppressed by somebody else
    const items = [
      start(null, '41@lid', 'a', later),
      start('+4915140000002', null, 'b', later),
      start('+4915149999999', '43@lid', 'c', later),
    ];
    expect(await liftOptOuts(world.sql, items)).toBe(3);
    expect(await phones()).toEqual(['+4915140000002', '+4915140000004']);
    expect(await liftOptOuts(world.sql, [])).toBe(0);
  });
});
