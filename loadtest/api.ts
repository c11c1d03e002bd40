import { systemClock as clock } from '../ops/lifecycle/index.ts';

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

class Unavailable extends Error {}

async function call<T>(api: Api, query: string, variables: Record<string, unknown>): Promise<T> {
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${api.key}` },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(20_000),
  });
  const body = (await response.json()) as { data?: T; errors?: readonly { message: string; extensions?: { code?: string } }[] };
  const [problem] = body.errors ?? [];
  if (body.data === undefined || body.data === null) {
    const text = `the gateway answered ${response.status}: ${problem?.message ?? 'no data'}`;
    throw problem?.extensions?.code === 'UNAVAILABLE' ? new Unavailable(text) : new Error(text);
  }
  return body.data;
}

/** A busy machine answers UNAVAILABLE, and may have made the device: asked again under another name. */
const TRIES = 5;
async function createLinkDevice(api: Api, wanted: string): Promise<LinkDevice> {
  for (let attempt = 1; ; attempt++) {
    const name = attempt === 1 ? wanted : `${wanted}-${attempt}`;
    try {
      const { createDevice } = await call<{
        createDevice: {
          device: { id: string } | null;
          linkToken: string | null;
          errors: readonly { readonly code: string; readonly message: string }[];
        };
      }>(api, CREATE, { input: { name, transport: 'LINK', paceMinMs: 0, paceMaxMs: 0 } });
      const { device, linkToken, errors } = createDevice;
      if (device === null || linkToken === null) {
        const text = `${name}: ${errors[0]?.message ?? 'not created'}`;
        throw errors[0]?.code === 'UNAVAILABLE' ? new Unavailable(text) : new Error(text);
      }
      return { id: device.id, token: linkToken };
    } catch (error) {
      if (!(error instanceof Unavailable) || attempt === TRIES) throw error;
      await clock.sleep(500);
    }
  }
}

/** Creates link devices without pacing, eight at a time. */
export async function createLinkDevices(api: Api, count: number, namePrefix: string): Promise<LinkDevice[]> {
  const devices: LinkDevice[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      devices[index] = await createLinkDevice(api, `${namePrefix}-${String(index + 1).padStart(4, '0')}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return devices;
}

/** Connected devices as the fleet says. */
export async function connectedDevices(api: Api): Promise<number> {
  return (await call<{ fleet: { connected: number } }>(api, '{ fleet { connected } }', {})).fleet.connected;
}
