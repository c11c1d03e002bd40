import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis, type Redis } from '../../ops/connect/index.ts';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { TestDatabase } from '../../ops/testing/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { bumpEpochs, goOnErasing, intent, result, storeInbound } from '../../schema/sql/index.ts';
import { type Data, startTestGateway, type TestGateway } from '../gateway.testing.ts';

/**
 * A person is in every place that the product keeps people in; then erased; then nowhere: every column of every table and every key of Redis is read. Through a
 * whole gateway, so that Redis has what it has in life.
 */
const PHONE = '+4917055501234';
const DIGITS = '4917055501234';
const LID = '88123451234567';
const OTHER = '+4917055509999';
/** where the test puts the person, beside what is found by itself */
const PLACES = [
  'recipient_sends',
  'acquaintances',
  'audit',
  'dead_letters',
  'idempotency_keys',
  'identities',
  'inbound_messages',
  'lead_import_faults',
  'leads',
  'messages',
];

let gateway: TestGateway;
let database: TestDatabase;
let redis: Redis;
let tenantId = '';
let deviceId = '';

beforeAll(async () => {
  gateway = await startTestGateway();
  ({ database } = gateway);
  redis = connectRedis(gateway.redis.url, { role: 'general', name: 'erase-test' });
});
afterAll(async () => {
  redis.disconnect();
  await gateway.stop();
});

const ask = async (query: string): Promise<Data> => {
  const answer = await gateway.ask(query);
  expect(answer.errors).toBeUndefined();
  return answer.data;
};
const send = async (to: string, key: string | null = null): Promise<Data> =>
  (
    await ask(
      `mutation { sendMessage(input: {deviceId: "Device:${deviceId}", to: "${to}", body: "dear ${to}"${key === null ? '' : `, idempotencyKey: "${key}"`}}) { message { id state } errors { code } } }`,
    )
  ).sendMessage;
const plainId = (id: string): string => id.slice(id.indexOf(':') + 1);
const rows = <T extends object>(text: string, ...parameters: string[]): Promise<T[]> =>
  database.sql.unsafe<T[]>(text, parameters) as unknown as Promise<T[]>;

async function contentOf(key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case 'string':
      return redis.get(key);
    case 'hash':
      return redis.hgetall(key);
    case 'set':
      return redis.smembers(key);
    case 'zset':
      return redis.zrange(key, '0', '-1');
    case 'stream':
      return redis.xrange(key, '-', '+');
    default:
      return redis.lrange(key, 0, -1);
  }
}

/** Tables and keys in which one of the names stands, as text or as bytes. */
async function whereIs(...names: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  const marks = names.flatMap((name) => [
    name,
    Buffer.from(name).toString('hex'),
    Buffer.from(name).toString('base64').replace(/=+$/, '').slice(1, -1),
  ]);
  const tables = await rows<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`,
  );
  expect(tables.length).toBeGreaterThan(20);
  for (const { name } of tables) {
    const hits = await rows<{ n: number }>(
      `select count(*)::integer as n from "${name}" t where t::text ~ any($1::text[])`,
      `{${marks.map((mark) => `"${mark.replaceAll('+', '.')}"`).join(',')}}`,
    );
    if ((hits[0]?.n ?? 0) > 0) found.add(name);
  }
  for (const key of await redis.keys('*')) {
    const value = await contentOf(key);
    const text = `${key} ${JSON.stringify(value)}`;
    if (marks.some((mark) => text.includes(mark))) found.add(`redis ${key}`);
  }
  return [...found].sort();
}

describe('erasePerson', () => {
  it('everything about the person is gone, from every table and every key; what is not theirs stays', async () => {
    deviceId = plainId(
      (await ask('mutation { createDevice(input: {name: "one", transport: SIMULATOR}) { device { id } } }')).createDevice.device.id,
    );
    tenantId = String((await rows<{ tenant_id: string }>('select tenant_id from devices where id = $1', deviceId))[0]?.tenant_id);
    const lead = (phone: string): string => `{phone: "${phone}", name: "Ann", tags: ["t"], attributes: "{\\"number\\": \\"${phone}\\"}"}`;
    await ask(`mutation { importLeads(input: {leads: [${lead(PHONE)}, ${lead(OTHER)}]}) { made errors { code } } }`);
    const flow = (
      await ask(
        'mutation { createSequence(input: {name: "s", stopOnReply: false, steps: [{delayMs: 3600000, template: "hi"}]}) { sequence { id } errors { message } } }',
      )
    ).createSequence.sequence.id;
    await ask(`mutation { startSequence(input: {id: "${flow}"}) { errors { code } } }`);
    const leads = await rows<{ id: string }>('select id from leads');
    await ask(
      `mutation { enrol(input: {sequenceId: "${flow}", leadIds: [${leads.map((one) => `"Lead:${one.id}"`)}]}) { enrolled errors { code } } }`,
    );

    // one that failed with the number in the provider's words, one on its way, one that waits, and one to somebody else
    const [failed, under, waiting, other] = [
      await send(PHONE, `key-${DIGITS}`),
      await send(PHONE),
      await send(PHONE),
      await send(OTHER),
    ].map((one) => plainId(one.message.id));
    const [owner] = await bumpEpochs(database.sql, [{ deviceId, epoch: 0, crash: false }], 'node-1');
    const epoch = owner?.epoch ?? 0;
    const go = (messageId: string | undefined) =>
      intent(database.sql, [{ deviceId, epoch, node: 'node-1', messageId: messageId ?? '', paceMs: 0, resendUnknown: false, budget: 5 }]);
    expect(await go(failed)).toMatchObject([{ verdict: 'PASS' }]);
    const at = systemClock.wall();
    const cause = { cause: 'REFUSED', error: `no such user ${DIGITS}@s.whatsapp.net`, dueAt: null, at };
    await result(database.sql, [{ messageId: failed ?? '', deviceId, epoch, attempt: 1, state: 'FAILED', ...cause }]);
    expect(await go(under)).toMatchObject([{ verdict: 'PASS' }]);

    const inbound = { deviceId, tenantId, body: `I am ${PHONE}`, receivedAt: at };
    await storeInbound(database.sql, [
      { ...inbound, id: 'a', sender: PHONE, senderLid: null },
      { ...inbound, id: 'b', sender: `${LID}@lid`, senderLid: `${LID}@lid` },
      { ...inbound, id: 'c', sender: OTHER, senderLid: null, body: 'hello' },
    ]);
    await rows('insert into identities (tenant_id, phone, lid) values ($1, $2, $3)', tenantId, PHONE, `${LID}@lid`);
    await rows('insert into acquaintances (device_id, phone) values ($1, $2)', deviceId, PHONE);
    await rows('insert into recipient_sends (tenant_id, recipient, sent, last_at) values ($1, $2, array[now()], now())', tenantId, PHONE);
    for (const id of [`${DIGITS}.0`, `${LID}_1.12`, `lid-mapping-${DIGITS}`, '49.0'])
      await rows(`insert into session_keys (device_id, type, id, value) values ($1, 'session', $2, '\\x00')`, deviceId, id);
    await rows(
      `insert into audit (id, tenant_id, action, subject, detail) values ($1, $2, 'x', $3, jsonb_build_object('who', $3::text, 'lid', $4::text))`,
      uuidV7(at),
      tenantId,
      PHONE,
      `${LID}@lid`,
    );
    await rows(`insert into lead_imports (id, tenant_id, format) values ($1, $2, 'CSV')`, uuidV7(at), tenantId);
    await rows(
      `insert into lead_import_faults (import_id, row, field, message) select id, 1, 'phone', $1 from lead_imports`,
      `${DIGITS}: twice`,
    );
    await ask(`mutation { suppress(input: {phone: "${PHONE}", reason: "x"}) { added } }`);

    const before = await whereIs(DIGITS, LID);
    expect(before).toEqual(expect.arrayContaining([...PLACES, 'session_keys', 'suppressions']));

    const { erasePerson } = await ask(
      `mutation { erasePerson(input: {phone: "${PHONE}"}) { leads messages inbound whole errors { code } } }`,
    );
    expect(erasePerson).toEqual({ leads: 1, messages: 3, inbound: 2, whole: true, errors: [] });
    expect(await whereIs(DIGITS, LID)).toEqual([]);
    expect(await rows('select hash from suppressions where hash is not null')).toHaveLength(2);

    // what is not theirs
    expect(await rows('select 1 from session_keys')).toHaveLength(1);
    expect(await rows('select 1 from leads')).toHaveLength(1);
    expect(await rows('select 1 from inbound_messages')).toHaveLength(1);
    expect(await rows('select body from messages where id = $1', other ?? '')).toMatchObject([{ body: `dear ${OTHER}` }]);
    expect((await rows<{ cause: string | null }>('select cause from enrolments')).map((row) => row.cause).sort()).toEqual([
      'SUPPRESSED',
      null,
    ]);

    // what waits ends at its intent, what is on its way ends as it does; nothing new is taken or planned
    await result(database.sql, [
      { messageId: under ?? '', deviceId, epoch, attempt: 1, state: 'SENT', cause: null, error: null, dueAt: null, at },
    ]);
    expect(await go(waiting)).toMatchObject([{ verdict: 'SUPPRESSED', cause: 'RECIPIENT_SUPPRESSED' }]);
    expect(await send(PHONE)).toMatchObject({ message: null, errors: [{ code: 'RECIPIENT_SUPPRESSED' }] });
    expect((await send(OTHER)).errors).toEqual([]);
    // a repeat finds nobody, and the audit trail says what was done, not to whom
    expect((await ask(`mutation { erasePerson(input: {phone: "${PHONE}"}) { leads messages inbound whole } }`)).erasePerson).toMatchObject({
      leads: 0,
    });
    await expect.poll(async () => rows(`select 1 from audit where action = 'erasePerson'`), { timeout: 25_000 }).toHaveLength(2);
    expect(await whereIs(DIGITS, LID)).toEqual([]);
  });

  it('a message that was being accepted meanwhile is emptied by the second look, and has not gone before', async () => {
    const late = plainId((await send(OTHER)).message.id);
    await rows('update messages set recipient = $1 where id = $2', PHONE, late);
    const [owner] = await rows<{ epoch: number }>('select epoch from ownership where device_id = $1', deviceId);
    expect(
      await intent(database.sql, [
        { deviceId, epoch: owner?.epoch ?? 0, node: 'node-1', messageId: late, paceMs: 0, resendUnknown: false, budget: 5 },
      ]),
    ).toMatchObject([{ verdict: 'SUPPRESSED' }]);
    await rows(`update erasures set created_at = created_at - interval '2 minutes'`);
    await goOnErasing(database.sql, async () => {});
    expect(await whereIs(DIGITS, LID)).toEqual([]);
    expect(await rows('select 1 from erasures where done_at is null')).toEqual([]);
  });

  it('unsuppress lets them be written to again, because they have said so', async () => {
    expect((await ask(`mutation { unsuppress(input: {phone: "${PHONE}"}) { removed } }`)).unsuppress.removed).toBe(true);
    expect((await send(PHONE)).errors).toEqual([]);
  });
});
