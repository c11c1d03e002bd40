/** The little of the GraphQL API that preparing a load needs. Talks over the wire only. */
export interface Api {
  readonly url: string;
  readonly key: string;
}

export interface LinkDevice {
  readonly id: string;
  readonly token: string;
}

const CREATE = `mutation($input: CreateDeviceInput!) { createDevice(input: $input) { device { id } linkToken errors { code message } } }`;

async function call<T>(api: Api, query: string, variables: Record<string, unknown>): Promise<T> {
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${api.key}` },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(20_000),
  });
  const body = (await response.json()) as { data?: T; errors?: readonly { message: string }[] };
  if (body.data === undefined || body.data === null)
    throw new Error(`the gateway answered ${response.status}: ${body.errors?.[0]?.message ?? 'no data'}`);
  return body.data;
}

/** Creates link devices without pacing, eight at a time. */
export async function createLinkDevices(api: Api, count: number, namePrefix: string): Promise<LinkDevice[]> {
  const devices: LinkDevice[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const name = `${namePrefix}-${String(index + 1).padStart(4, '0')}`;
      const { createDevice } = await call<{
        createDevice: { device: { id: string } | null; linkToken: string | null; errors: readonly { message: string }[] };
      }>(api, CREATE, {
        input: { name, transport: 'LINK', paceMinMs: 0, paceMaxMs: 0 },
      });
      if (createDevice.device === null || createDevice.linkToken === null)
        throw new Error(`${name}: ${createDevice.errors[0]?.message ?? 'not created'}`);
      devices[index] = { id: createDevice.device.id, token: createDevice.linkToken };
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return devices;
}

/** Connected devices as the fleet says. */
export async function connectedDevices(api: Api): Promise<number> {
  return (await call<{ fleet: { connected: number } }>(api, '{ fleet { connected } }', {})).fleet.connected;
}
