import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadDevices, upsertNode } from '../../schema/sql/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
beforeAll(async () => {
  api = await startApi();
});
afterAll(async () => {
  await api.stop();
});

const report = (id: string, devices = 3, capacity = 10, state: 'ACTIVE' | 'GONE' = 'ACTIVE') =>
  upsertNode(api.database.sql, { id, state, version: '1.2.3', host: 'machine', capacity, devices, instance: `${id}-1` });
const drain = async (nodeId: string) =>
  (
    await api.ask(
      `mutation { drainNode(input: {nodeId: ${JSON.stringify(nodeId)}}) { node { id state devices } errors { code message path } } }`,
    )
  ).data.drainNode;
const undrain = async (nodeId: string) =>
  (
    await api.ask(
      `mutation { undrainNode(input: {nodeId: ${JSON.stringify(nodeId)}}) { node { id state devices } errors { code message path } } }`,
    )
  ).data.undrainNode;
const move = async (deviceId: string, nodeId: string | null) =>
  (
    await api.ask(
      `mutation($id: ID!, $to: ID) { moveDevice(input: {deviceId: $id, nodeId: $to}) { device { id } errors { code message path } } }`,
      { variables: { id: deviceId, to: nodeId } },
    )
  ).data.moveDevice;

// a node that has been silent for long is taken for dead, also when it is the machine that is slow
beforeEach(async () => {
  await api.database.sql.unsafe("update nodes set seen_at = clock_timestamp() where id in ('node-1', 'node-2')");
});

describe('nodes in the API', () => {
  it('shows them with capacity, version, devices and how long they have been silent', async () => {
    await report('node-1');
    await report('node-2', 10, 10);
    await report('node-9', 0, 10, 'GONE');
    const { data } = await api.ask('{ nodes { id state version host capacity devices startedAt seenAt heartbeatAgeMs } }');
    const one = data.nodes.find((node: { id: string }) => node.id === 'node-1');
    expect(one).toMatchObject({ state: 'ACTIVE', version: '1.2.3', host: 'machine', capacity: 10, devices: 3 });
    expect(one.heartbeatAgeMs).toBeLessThan(60_000);
    await api.database.sql.unsafe("update nodes set seen_at = seen_at - interval '16 seconds' where id = 'node-9'");
    await api.database.sql.unsafe("update nodes set state = 'ACTIVE' where id = 'node-9'");
    const later = await api.ask('{ nodes { id state } }');
    expect(later.data.nodes.find((node: { id: string }) => node.id === 'node-9').state).toBe('GONE');
  });

  it('moves a device to a living node with room, says why not, and takes the wish back', async () => {
    const made = await api.ask('mutation { createDevice(input: {name: "one", transport: SIMULATOR}) { device { id } } }');
    const id: string = made.data.createDevice.device.id;
    const pin = async () => (await loadDevices(api.database.sql, [id.slice(id.indexOf(':') + 1)]))[0]?.settings['node'] ?? null;
    for (const wrong of ['node-7', 'node-9', 'No Such', '']) {
      expect(await move(id, wrong)).toMatchObject({ device: null, errors: [{ code: 'NODE_NOT_FOUND', path: ['input', 'nodeId'] }] });
    }
    expect(await move(id, 'node-2')).toMatchObject({ errors: [{ code: 'NODE_FULL' }] });
    expect(await pin()).toBeNull();
    expect(await move(id, 'node-1')).toMatchObject({ device: { id }, errors: [] });
    expect(await pin()).toBe('node-1');
    expect(await move(id, null)).toMatchObject({ errors: [] });
    expect(await pin()).toBeNull();
    expect(await move('Device:018f0000-0000-7000-8000-00000000ffff', 'node-1')).toMatchObject({ errors: [{ code: 'DEVICE_NOT_FOUND' }] });
  });

  it('drains a node, twice if asked twice; the last one keeps its devices and says so', async () => {
    expect(await drain('nope')).toMatchObject({ node: null, errors: [{ code: 'NODE_NOT_FOUND', path: ['input', 'nodeId'] }] });
    expect(await drain('node-1')).toMatchObject({ node: { id: 'node-1', state: 'DRAINING' }, errors: [] });
    expect(await drain('node-1')).toMatchObject({ errors: [] });
    expect(await drain('node-2')).toMatchObject({ node: null, errors: [{ code: 'LAST_NODE' }] });
    const made = await api.ask('mutation { createDevice(input: {name: "two", transport: SIMULATOR}) { device { id } } }');
    expect(await move(made.data.createDevice.device.id, 'node-1')).toMatchObject({ errors: [{ code: 'NODE_DRAINING' }] });
    const audit = await api.database.sql.unsafe("select subject from audit where action = 'drainNode'");
    expect(audit.map((row) => row['subject'])).toContain('node-1');
  });

  it('takes a drain back, says what is no node, and leaves an entry', async () => {
    await report('node-1');
    await report('node-2');
    expect(await drain('node-1')).toMatchObject({ node: { state: 'DRAINING' }, errors: [] });
    expect(await undrain('node-1')).toMatchObject({ node: { id: 'node-1', state: 'ACTIVE' }, errors: [] });
    // nothing to take back: still done
    expect(await undrain('node-1')).toMatchObject({ errors: [] });
    for (const wrong of ['node-7', 'No Such', '']) {
      expect(await undrain(wrong)).toMatchObject({ node: null, errors: [{ code: 'NODE_NOT_FOUND', path: ['input', 'nodeId'] }] });
    }
    const audit = await api.database.sql.unsafe("select subject from audit where action = 'undrainNode'");
    expect(audit.map((row) => row['subject'])).toEqual(['node-1', 'node-1']);
  });

  it('is for those who may', async () => {
    const made = await api.ask('mutation { createApiKey(input: {name: "op", scopes: [OPERATOR]}) { secret errors { code } } }');
    const key: string = made.data.createApiKey.secret;
    const refused = await api.ask('mutation { drainNode(input: {nodeId: "node-2"}) { errors { code } } }', { key });
    expect(refused.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    const back = await api.ask('mutation { undrainNode(input: {nodeId: "node-2"}) { errors { code } } }', { key });
    expect(back.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
  });
});
