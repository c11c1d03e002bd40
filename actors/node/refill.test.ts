import { expect, it } from 'vitest';
import type { Look, RefillOrder } from '../mailbox/index.ts';
import { createRefiller } from './refill.ts';

const DEVICE = { deviceId: 'device', partition: 0, epoch: 3 };
const lane = (last: number) => ({ marks: 1, last, entries: 0 });

/** The order that one look leads to; the ledger has the message behind the seq that it is asked for. */
const orderAfter = (look: Look): Promise<RefillOrder | undefined> =>
  new Promise((resolve) => {
    let order: RefillOrder | undefined;
    const refiller = createRefiller(
      {
        mailbox: {
          look: async () => [look],
          refill: async (orders) => {
            order = orders[0];
            return orders.map(() => 'OK');
          },
        },
        statements: {
          refill: async (asks) => asks.map((ask) => ({ ...ask, seq: ask.afterSeq + 1, messageId: 'm', traceparent: null })),
          nextSeqs: async () => [],
          promoteDue: async () => [],
        },
        telemetry: { count() {}, log: { debug() {}, info() {}, warn() {}, error() {} } },
        ready: async () => {},
        outcome: () => resolve(order),
      },
      { window: 50 },
    );
    refiller.ask(DEVICE, 'behind', [1]);
  });

/**
 * A simulated world (seed 860): Redis was rolled back between the look at a mailbox and the rows read behind its last seq. The script must know
 * behind which seq they were read, or it puts them after an older end, and what lies between is stepped over.
 */
it('hands rows over with the seq that they were read behind', async () => {
  const order = await orderAfter({ started: true, lanes: [lane(0), lane(5), lane(0)] });
  expect(order).toMatchObject({ ...DEVICE, lanes: [{ lane: 1, marks: 1, after: 5, rows: [{ seq: 6 }] }] });
  expect(order?.lanes[0]?.start).toBeUndefined();
});
