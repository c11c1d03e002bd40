import { expect, it } from 'vitest';
import { systemClock } from '../../ops/lifecycle/index.ts';
import type { Core } from './core.ts';
import { createHandover } from './handover.ts';
import { createHoldings } from './holdings.ts';

const DEVICE = '018f0000-0000-7000-8000-000000000001';

it('gives up only the ownership that it settled, not one that was granted while it settled', async () => {
  const telemetry = { count() {}, log: { warn() {} } } as unknown as Core['deps']['telemetry'];
  const holdings = createHoldings({ clock: systemClock, telemetry, marginMs: 1 });
  const lease = (token: string) => ({
    deviceId: DEVICE,
    token,
    deadline: systemClock.monotonic() + 60_000,
    wallDeadline: systemClock.wall() + 60_000,
  });
  const released: string[] = [];
  const core = {
    deps: {
      clock: systemClock,
      telemetry,
      bus: { on: () => () => {}, publish() {} },
      listener: {
        granted() {},
        // the partition is lost and rebuilt while the device settles
        async settle() {
          holdings.lose(DEVICE, 'REDIS_LOST');
          holdings.grant(lease('second'), 2, 'rebuild', 0);
        },
      },
    },
    options: { nodeId: 'node-a' },
    locks: { transfer: async () => new Set() },
    holdings,
    letGo: async (held: readonly { readonly token: string }[]) => void released.push(...held.map((one) => one.token)),
  } as unknown as Core;
  holdings.grant(lease('first'), 1, 'new', 0);
  await createHandover(core).handOver([DEVICE], () => 'node-b', 1000);
  expect(holdings.get(DEVICE)).toMatchObject({ token: 'second', settling: false });
  expect(released).toEqual([]);
});
