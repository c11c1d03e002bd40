import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import { addTraffic, deletedWithBacklog, endDeleted, sampleFleets, TRAFFIC_BUCKET_MS, trimHistory } from '../../schema/sql/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api?.stop());

let made = 0;
const createDevice = async (more = 'transport: SIMULATOR'): Promise<{ id: string; uuid: string; linkToken: string | null }> => {
  made += 1;
  const { data } = await api.ask(
    `mutation { createDevice(input: {name: "device ${made}", ${more}}) { device { id } linkToken errors { code } } }`,
  );
  const id = data.createDevice.device.id as string;
  return { id, uuid: id.replace('Device:', ''), linkToken: data.createDevice.linkToken };
};
const send = async (deviceId: string): Promise<string> => {
  const { data } = await api.ask(
    `mutation { sendMessage(input: {deviceId: "${deviceId}", to: "+491701234567", body: "x"}) { message { id } errors { code } } }`,
  );
  return data.sendMessage.message.id;
};

describe('devices are changed and ended', () => {
  it('updateDevice changes what is given and nothing else', async () => {
    const { id } = await createDevice('transport: SIMULATOR, dailyCap: 5');
    const update = (input: string) =>
      api.ask(
        `mutation { updateDevice(input: {deviceId: "${id}", ${input}}) { device { name paceMinMs paceMaxMs dailyCap } errors { code path } } }`,
      );
    expect((await update('name: "renamed", paceMinMs: 1000')).data.updateDevice).toEqual({
      device: { name: 'renamed', paceMinMs: 1000, paceMaxMs: 15000, dailyCap: 5 },
      errors: [],
    });
    expect((await update('noDailyCap: true')).data.updateDevice.device.dailyCap).toBeNull();
    const other = await createDevice();
    const taken = `mutation { updateDevice(input: {deviceId: "${other.id}", name: "renamed"}) { device { id } errors { code path } } }`;
    expect((await api.ask(taken)).data.updateDevice).toEqual({ device: null, errors: [{ code: 'NAME_TAKEN', path: ['input', 'name'] }] });
    expect((await update('paceMinMs: 99000')).data.updateDevice.errors).toEqual([{ code: 'INVALID_INPUT', path: ['input', 'paceMaxMs'] }]);
    expect((await update('dailyCap: 3, noDailyCap: true')).data.updateDevice.errors[0].code).toBe('INVALID_INPUT');
    const settings = async (input: string) =>
      (
        await api.ask(`mutation { updateDevice(input: {deviceId: "${id}", ${input}}) {
          device { paceMinMs paceProfile quietHours { zone from to } ramp { steps } } errors { path } } }`)
      ).data.updateDevice;
    expect(
      (await settings('paceProfile: CAREFUL, ramp: [20, 40], quietHours: {zone: "Europe/Berlin", from: "21:00", to: "08:00"}')).device,
    ).toEqual({
      paceMinMs: 20_000,
      paceProfile: 'CAREFUL',
      quietHours: { zone: 'Europe/Berlin', from: '21:00', to: '08:00' },
      ramp: { steps: [20, 40] },
    });
    expect((await settings('noRamp: true, paceMinMs: 1')).device).toMatchObject({
      ramp: null,
      paceProfile: null,
      quietHours: { from: '21:00' },
    });
    expect((await settings('noQuietHours: true')).device.quietHours).toBeNull();
    for (const [input, path] of [
      ['ramp: [0]', 'ramp'],
      ['ramp: []', 'ramp'],
      ['ramp: [1], noRamp: true', 'noRamp'],
      ['paceProfile: BRISK, paceMinMs: 1', 'paceProfile'],
      ['quietHours: {zone: "UTC", from: "9", to: "10:00"}', 'quietHours'],
      ['quietHours: {zone: "UTC", from: "09:00", to: "09:00"}', 'quietHours'],
      ['quietHours: {zone: "Mars/Base", from: "09:00", to: "10:00"}', 'quietHours'],
    ] as const)
      expect((await settings(input)).errors[0].path.slice(0, 2)).toEqual(['input', path]);
    const unknown = { quietHours: { zone: 'Mars/Base', from: '09:00', to: '10:00' } };
    const tenantId = (await api.database.sql`select tenant_id from devices where id = ${id.replace('Device:', '')}`)[0]?.['tenant_id'];
    expect(await api.services.devices.update(tenantId, id.replace('Device:', ''), { settings: unknown })).toBe('ZONE_UNKNOWN');
    expect((await update('')).data.updateDevice.errors[0]).toEqual({ code: 'INVALID_INPUT', path: ['input'] });
  });

  it('updateDevice keeps a proxy sealed, shows it without its credentials, and names what is wrong with one', async () => {
    const { id } = await createDevice('transport: WHATSAPP');
    const set = async (input: string) =>
      (await api.ask(`mutation { updateDevice(input: {deviceId: "${id}", ${input}}) { device { proxy } errors { code path message } } }`))
        .data.updateDevice;
    expect(await set('proxy: "http://some-user:some-password@proxy.example:3128"')).toEqual({
      device: { proxy: 'http://***@proxy.example:3128' },
      errors: [],
    });
    const { sql } = api.database;
    const kept = async (): Promise<string> =>
      JSON.stringify([
        await sql`select settings from devices where id = ${id.replace('Device:', '')}`,
        await sql`select * from audit where action = 'updateDevice'`,
      ]);
    expect(await kept()).toContain('"shown":"http://***@proxy.example:3128"');
    expect(await kept()).not.toMatch(/some-user|some-password/);
    for (const wrong of [
      '',
      'proxy',
      'socks5://proxy.example:1080',
      'http://127.0.0.1:3128',
      'http://[fd00::1]:80',
      'http://proxy.example/x',
    ]) {
      const { device, errors } = await set(`proxy: "${wrong}"`);
      expect([device, errors[0].code, errors[0].path]).toEqual([null, 'URL_INVALID', ['input', 'proxy']]);
      expect(errors[0].message).toContain('expected the address of an HTTP proxy');
    }
    expect((await set('proxy: "http://proxy.example", noProxy: true')).errors[0].path).toEqual(['input', 'noProxy']);
    expect((await set('noProxy: true')).device).toEqual({ proxy: null });
  });

  it('deleteDevice frees the name, ends the queue, and leaves the history readable', async () => {
    const device = await createDevice();
    const waiting = await send(device.id);
    const { data } = await api.ask(
      `mutation { deleteDevice(input: {deviceId: "${device.id}"}) { device { id state reason } errors { code } } }`,
    );
    expect(data.deleteDevice).toEqual({ device: { id: device.id, state: 'UNKNOWN', reason: 'DELETED' }, errors: [] });
    expect((await api.ask(`{ device(id: "${device.id}") { id } node(id: "${device.id}") { id } }`)).data).toEqual({
      device: null,
      node: null,
    });
    const message = (): Promise<{ state: string; cause: string | null; device: { id: string } }> =>
      api.ask(`{ message(id: "${waiting}") { state cause device { id } } }`).then((answer) => answer.data.message);
    await expect.poll(message).toEqual({ state: 'CANCELLED', cause: 'DEVICE_DELETED', device: { id: device.id } });
    await expect.poll(() => api.events.some((event) => `Message:${event.messageId}` === waiting && event.state === 'CANCELLED')).toBe(true);
    expect(await deletedWithBacklog(api.database.sql, 10)).toEqual([]);
    const refused = `mutation { sendMessage(input: {deviceId: "${device.id}", to: "+491701234567", body: "x"}) { errors { code } } }`;
    expect((await api.ask(refused)).data.sendMessage.errors).toEqual([{ code: 'DEVICE_NOT_FOUND' }]);
  });

  it('an attempt that was open when its device was deleted is decided after a minute, and not before', async () => {
    const { sql } = api.database;
    const device = await createDevice();
    const waiting = await send(device.id);
    await sql.unsafe(`update messages set state = 'SENDING', intent_at = now(), attempt = 1 where device_id = $1`, [device.uuid]);
    expect(await endDeleted(sql, device.uuid, 10)).toEqual([]);
    await sql.unsafe('update devices set deleted_at = now(), changed_at = now() where id = $1', [device.uuid]);
    expect(await endDeleted(sql, device.uuid, 10)).toEqual([]);
    expect(await deletedWithBacklog(sql, 10)).toMatchObject([{ id: device.uuid }]);
    await sql.unsafe(`update messages set intent_at = now() - interval '61 seconds' where device_id = $1`, [device.uuid]);
    expect(await endDeleted(sql, device.uuid, 10)).toMatchObject([{ state: 'DEAD', cause: 'OUTCOME_UNKNOWN' }]);
    expect(await deletedWithBacklog(sql, 10)).toEqual([]);
    expect((await api.ask(`{ message(id: "${waiting}") { state } }`)).data.message.state).toBe('DEAD');
  });

  it('unlinkDevice takes session and token and fences the owner', async () => {
    const { sql } = api.database;
    const device = await createDevice('transport: WHATSAPP');
    await sql.unsafe('update devices set paired = true where id = $1', [device.uuid]);
    await sql.unsafe(`insert into sessions (device_id, creds, epoch) values ($1, 'x', 0)`, [device.uuid]);
    await sql.unsafe(`insert into session_keys (device_id, type, id, value) values ($1, 't', 'i', 'x')`, [device.uuid]);
    const unlink = (id: string) =>
      api.ask(`mutation { unlinkDevice(input: {deviceId: "${id}"}) { device { paired epoch } errors { code } } }`);
    expect((await unlink(device.id)).data.unlinkDevice).toEqual({ device: { paired: false, epoch: 1 }, errors: [] });
    const [left] = await sql.unsafe(
      'select (select count(*) from sessions) + (select count(*) from session_keys) as n, settings from devices where id = $1',
      [device.uuid],
    );
    expect(left).toMatchObject({ n: 0, settings: { unlinkedAt: expect.any(Number) } });
    const link = await createDevice('transport: LINK');
    await unlink(link.id);
    const [row] = await sql.unsafe('select link_token_hash from devices where id = $1', [link.uuid]);
    expect(row?.['link_token_hash']).toBeNull();
  });
});

describe('keys and tenants', () => {
  it('keys are listed with their state, page by page, and never with a secret', async () => {
    const tenant = await api.ask('mutation { createTenant(input: {name: "keyed"}) { tenant { id } errors { code } } }');
    const tenantId = tenant.data.createTenant.tenant.id as string;
    const create = (name: string, more = '') =>
      api.ask(
        `mutation { createApiKey(input: {name: "${name}", scopes: [ADMIN], tenantId: "${tenantId}"${more}}) { apiKey { id } secret errors { code } } }`,
      );
    // keys are in the order of their milliseconds
    const first = (await create('first')).data.createApiKey;
    await systemClock.sleep(2);
    const second = (await create('second')).data.createApiKey;
    await systemClock.sleep(2);
    await create('third', ', expiresAt: "2999-01-01T00:00:00Z"');
    await api.ask(`mutation { revokeApiKey(input: {apiKeyId: "${second.apiKey.id}"}) { errors { code } } }`, {
      headers: { 'x-flotilla-tenant': 'keyed' },
    });
    await api.database.sql.unsafe(`update api_keys set expires_at = now() - interval '1 second' where name = 'third'`);
    const page = (after: string | null) =>
      api.ask(
        'query ($after: String) { apiKeys(first: 2, after: $after) { edges { node { name state } } pageInfo { hasNextPage endCursor } } }',
        {
          variables: { after },
          key: first.secret,
        },
      );
    const one = (await page(null)).data.apiKeys;
    expect(one.edges.map((edge: { node: unknown }) => edge.node)).toEqual([
      { name: 'first', state: 'ACTIVE' },
      { name: 'second', state: 'REVOKED' },
    ]);
    const two = (await page(one.pageInfo.endCursor)).data.apiKeys;
    expect(two).toMatchObject({ edges: [{ node: { name: 'third', state: 'EXPIRED' } }], pageInfo: { hasNextPage: false } });
    expect((await api.ask('{ tenants { edges { node { name } } } }')).data.tenants.edges.length).toBeGreaterThanOrEqual(2);
    expect((await api.ask('{ tenants { edges { node { name } } } }', { key: first.secret })).errors[0]?.extensions.code).toBe('FORBIDDEN');
    const foreign = `mutation { createApiKey(input: {name: "x", scopes: [VIEWER], tenantId: "Tenant:${uuidV7(0)}"}) { secret errors { code path } } }`;
    for (const key of [api.adminKey, first.secret]) {
      expect((await api.ask(foreign, { key })).data.createApiKey).toEqual({
        secret: null,
        errors: [{ code: 'NOT_FOUND', path: ['input', 'tenantId'] }],
      });
    }
  });

  it('unsuppress takes a suppression back, once', async () => {
    const run = (name: string, ask: string) => api.ask(`mutation { ${name}(input: {phone: "+491700000077"}) { ${ask} errors { code } } }`);
    await run('suppress', 'added');
    expect((await run('unsuppress', 'removed')).data.unsuppress).toEqual({ removed: true, errors: [] });
    expect((await run('unsuppress', 'removed')).data.unsuppress).toEqual({ removed: false, errors: [] });
  });

  it('the audit says who did what, newest first, and pages without holes or repeats', async () => {
    const device = await createDevice();
    for (let at = 0; at < 5; at++) {
      // entries are in the order of their milliseconds
      await systemClock.sleep(2);
      await api.ask(`mutation { pauseDevice(input: {deviceId: "${device.id}"}) { errors { code } } }`);
      await api.ask(`mutation { resumeDevice(input: {deviceId: "${device.id}"}) { errors { code } } }`);
    }
    const seen: string[] = [];
    let after: string | null = null;
    for (;;) {
      const answer = await api.ask(
        'query ($after: String, $subject: ID) { audit(first: 3, after: $after, subject: $subject) { edges { node { id action apiKeyName subject } } pageInfo { hasNextPage endCursor } } }',
        { variables: { after, subject: device.id } },
      );
      const { edges, pageInfo } = answer.data.audit;
      for (const { node } of edges) {
        expect(node).toMatchObject({ apiKeyName: 'ADMIN_API_KEY', subject: device.uuid });
        seen.push(node.action);
      }
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor;
    }
    expect(seen).toHaveLength(11);
    expect(seen.at(-1)).toBe('createDevice');
    expect(seen.filter((action) => action === 'pauseDevice')).toHaveLength(5);
    const only = await api.ask('{ audit(action: "resumeDevice", first: 500) { edges { node { action } } } }');
    expect(only.data.audit.edges.length).toBeGreaterThanOrEqual(5);
    expect(new Set(only.data.audit.edges.map((edge: { node: { action: string } }) => edge.node.action))).toEqual(new Set(['resumeDevice']));
  });
});

describe('the history of a fleet', () => {
  it('adds up what nodes and gateways counted, by minute and hour, with durations and queue depth', async () => {
    const { sql } = api.database;
    const tenant = await api.ask('mutation { createTenant(input: {name: "history"}) { tenant { id } errors { code } } }');
    const tenantId = (tenant.data.createTenant.tenant.id as string).replace('Tenant:', '');
    const headers = { 'x-flotilla-tenant': 'history' };
    const now = Date.now();
    const bucketMs = now - (now % TRAFFIC_BUCKET_MS);
    const counts = { sent: 30, delivered: 20, failed: 10, processing: [0, 0, 40], latency: [0, 0, 0, 0, 0, 0, 0, 30] };
    for (const node of ['node-1', 'node-2']) await addTraffic(sql, [{ tenantId, bucketMs, node, ...counts }]);
    // the second write of the same minute adds to the first; an hour ago is out of the hour and in the day
    await addTraffic(sql, [
      { tenantId, bucketMs, node: 'gateway-1', sent: 0, delivered: 0, failed: 0, accepted: 7 },
      { tenantId, bucketMs: bucketMs - 3 * 3_600_000, node: 'node-1', sent: 5, delivered: 0, failed: 0, processing: [1], latency: [] },
    ]);
    await addTraffic(sql, [
      { tenantId, bucketMs, node: 'node-1', sent: 1, delivered: 0, failed: 0, processing: [0, 0, 0, 5], latency: [] },
    ]);
    const device = await api.ask('mutation { createDevice(input: {name: "d", transport: SIMULATOR}) { device { id } } }', { headers });
    const id = device.data.createDevice.device.id;
    for (let at = 0; at < 3; at++) {
      await api.ask(`mutation { sendMessage(input: {deviceId: "${id}", to: "+491701234567", body: "x"}) { errors { code } } }`, {
        headers,
      });
    }
    const minute = async () => String((await sql.unsafe(`select date_trunc('minute', clock_timestamp()) as m`))[0]?.['m']);
    // once a minute; tried again where the minute has ended between
    for (let same = false; !same; ) {
      const begun = await minute();
      await sql.unsafe('delete from fleet_samples');
      expect(await sampleFleets(sql)).toBeGreaterThan(0);
      const more = await sampleFleets(sql);
      same = (await minute()) === begun;
      if (same) expect(more).toBe(0);
    }
    const ask = async () =>
      (
        await api.ask(
          `{ fleet { hour: history { ...h } day: history(span: DAY) { ...h } } }
           fragment h on FleetHistory { stepSeconds points { at accepted sent backlog } total { accepted sent delivered failed successRate
             processing { count p50 p95 p99 } latency { count p99 } } }`,
          { headers },
        )
      ).data.fleet;
    const { hour, day } = await ask();
    expect(hour.stepSeconds).toBe(60);
    expect(hour.points).toHaveLength(60);
    expect(day.points).toHaveLength(24);
    expect(hour.total).toMatchObject({
      accepted: 7,
      sent: 61,
      delivered: 40,
      failed: 20,
      processing: { count: 85 },
      latency: { count: 60 },
    });
    expect(hour.total.successRate).toBeCloseTo(61 / 81, 5);
    expect(hour.total.processing.p50).toBeGreaterThan(1);
    expect(hour.total.processing.p50).toBeLessThanOrEqual(2);
    expect(hour.total.processing.p99).toBeGreaterThan(2);
    expect(hour.total.latency.p99).toBeGreaterThan(8);
    expect(day.total).toMatchObject({ sent: 66, processing: { count: 86 } });
    const sampled = hour.points.filter((point: { backlog: number | null }) => point.backlog !== null);
    expect(sampled).toMatchObject([{ backlog: 3 }]);
    await sql.unsafe(`update traffic_history set start = start - interval '3 days' where grain = 60`);
    await trimHistory(sql);
    const left = await sql.unsafe('select distinct grain from traffic_history');
    expect(left.map((row) => row['grain'])).toEqual([3600]);
  });

  it('never reads the ledger', async () => {
    const { data, errors } = await api.database.sql.begin(async (transaction) => {
      await transaction.unsafe('set local idle_in_transaction_session_timeout = 0');
      await transaction.unsafe('lock table messages in access exclusive mode');
      return await api.ask('{ fleet { devices backlog connected sentPerMinute history(span: DAY) { total { sent } } } }');
    });
    expect(errors).toEqual([]);
    expect(data.fleet.history.total.sent).toBeGreaterThanOrEqual(0);
    // the lock does hold off whoever reads it
    await api.database.sql.begin(async (transaction) => {
      await transaction.unsafe('lock table messages in access exclusive mode');
      await expect(api.database.sql.unsafe('lock table messages in access share mode nowait')).rejects.toThrow();
    });
  });
});
