import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkHellos } from '../../schema/sql/index.ts';
import { hashOf } from '../auth/index.ts';
import { type ApiStack, startApi } from './testing-stack.ts';

let api: ApiStack;
beforeAll(async () => {
  api = await startApi();
});
afterAll(async () => {
  await api.stop();
});

const works = async (token: string): Promise<string | null> => (await linkHellos(api.database.sql, [hashOf(token)]))[0]?.id ?? null;
const create = async (name: string, transport: string) =>
  (await api.ask(`mutation { createDevice(input: {name: "${name}", transport: ${transport}}) { device { id } linkToken } }`)).data
    .createDevice;
const command = async (name: string, deviceId: string) =>
  (
    await api.ask(`mutation($id: ID!) { ${name}(input: {deviceId: $id}) { device { id } linkToken errors { code path } } }`, {
      variables: { id: deviceId },
    })
  ).data[name];

it('a link token is made with the device, replaced and taken away; the socket that used it is closed', async () => {
  const { device, linkToken } = await create('one', 'LINK');
  const id = device.id.slice(device.id.indexOf(':') + 1);
  expect(await works(linkToken)).toBe(id);
  const rotated = await command('rotateLinkToken', device.id);
  expect(rotated).toMatchObject({ device: { id: device.id }, errors: [] });
  expect(rotated.linkToken).toMatch(/^flt_[\w-]{43}$/);
  expect(await works(linkToken)).toBeNull();
  expect(await works(rotated.linkToken)).toBe(id);
  expect(await command('revokeLinkToken', device.id)).toMatchObject({ linkToken: null, errors: [] });
  expect(await works(rotated.linkToken)).toBeNull();
  const again = await command('rotateLinkToken', device.id);
  expect(await works(again.linkToken)).toBe(id);
  expect(api.closed).toEqual([1, 2, 3].map(() => `${id} TOKEN_REVOKED`));
});

it('only link devices of one’s own tenant have one', async () => {
  const { device, linkToken } = await create('two', 'SIMULATOR');
  expect(linkToken).toBeNull();
  expect(await command('rotateLinkToken', device.id)).toMatchObject({ linkToken: null, errors: [{ code: 'NOT_A_LINK_DEVICE' }] });
  for (const name of ['rotateLinkToken', 'revokeLinkToken']) {
    expect(await command(name, 'Device:018f0000-0000-7000-8000-00000000ffff')).toMatchObject({
      linkToken: null,
      errors: [{ code: 'DEVICE_NOT_FOUND', path: ['input', 'deviceId'] }],
    });
  }
});
