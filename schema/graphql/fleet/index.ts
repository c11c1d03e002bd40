import { CONNECTED_STATES, DEVICE_STATES, type DeviceState } from '../../domain/index.ts';
import type { Kit, StateCountShape } from '../builder.ts';
import { addFleetHistory, fillHistory, historyStart } from './history.ts';

/** Counts per state that add up to `devices`: what nobody has spoken for is UNKNOWN. Pure. */
export function stateCounts(known: ReadonlyMap<DeviceState, number>, devices: number): StateCountShape[] {
  let spoken = 0;
  for (const [state, count] of known) if (state !== 'UNKNOWN') spoken += count;
  const unknown = Math.max(0, devices - spoken);
  return DEVICE_STATES.map((state) => ({ state, count: state === 'UNKNOWN' ? unknown : (known.get(state) ?? 0) })).filter(
    (entry) => entry.count > 0,
  );
}

export function addFleet(kit: Kit): void {
  const { builder } = kit;
  const { Span, History } = addFleetHistory(kit);
  builder.objectType('StateCount', {
    description: 'How many devices are in a state.',
    fields: (t) => ({
      state: t.expose('state', { type: kit.DeviceState, description: 'The state.' }),
      count: t.exposeInt('count', { description: 'Devices in it.' }),
    }),
  });
  builder.objectType('Fleet', {
    description: 'All devices of the tenant in figures. Those of fleets of many thousand devices may be up to ten seconds old.',
    fields: (t) => ({
      devices: t.exposeInt('devices', { description: 'All devices.' }),
      connected: t.int({
        description: 'ONLINE, SENDING or THROTTLED.',
        resolve: (fleet) => fleet.states.reduce((sum, entry) => sum + (CONNECTED_STATES.has(entry.state) ? entry.count : 0), 0),
      }),
      states: t.field({
        type: ['StateCount'],
        description: 'Devices by state; states without devices are left out.',
        resolve: (fleet) => [...fleet.states],
      }),
      backlog: t.exposeInt('backlog', { description: 'Messages accepted and not yet ended.' }),
      sentPerMinute: t.exposeFloat('sentPerMinute', { description: 'Messages the provider took, over the last full minute.' }),
      failedPerMinute: t.exposeFloat('failedPerMinute', { description: 'Messages that failed or died, over the last full minute.' }),
      history: t.field({
        type: History,
        description: 'The last hour by minutes, or the last day by hours.',
        complexity: { field: 5, multiplier: 2 },
        args: { span: t.arg({ type: Span, required: true, defaultValue: 'HOUR', description: 'how far back' }) },
        resolve: async (_fleet, { span }, context) => {
          const now = context.now();
          const { grain, fromMs } = historyStart(span, now);
          return fillHistory(span, now, await context.fleet.history(context.viewer.tenantId, grain, fromMs));
        },
      }),
    }),
  });
  builder.queryField('fleet', (t) =>
    t.field({
      type: 'Fleet',
      description: 'The whole fleet in figures.',
      authScopes: { scope: 'screen' },
      complexity: 5,
      resolve: async (_root, _args, context) => {
        const tenantId = context.viewer.tenantId;
        const [totals, known] = await Promise.all([context.fleet.totals(tenantId), context.live.states(tenantId)]);
        return { ...totals, states: stateCounts(known, totals.devices) };
      },
    }),
  );
}
