import type { Telemetry } from '../../ops/telemetry/index.ts';
import { LANES } from '../../schema/domain/index.ts';
import type { RefillEntry } from '../../schema/sql/index.ts';
import type { OwnerRef } from '../device/index.ts';
import type { Mailbox } from '../mailbox/index.ts';
import type { WindowStatements } from './statements.ts';

/**
 * Finds open messages that no mailbox holds though their lane has gone past them: nothing else looks behind a lane's last seq, so such a message
 * would stand still for ever. There should be none; each is logged, counted (`mailbox.astray`) and put right.
 *
 * Holds no state. Called by the sweeps, now and then.
 * A1 What is taken for astray is: the ledger is read, then the mailbox, then the ledger again. An entry is taken out of a mailbox only after the
 *    end of its message was committed, so a message that is open at the second reading had to be there between the two.
 * A2 Only the oldest open message of a lane is looked at: one behind it comes to be the oldest, or leaves.
 * A3 Set-based: three statements and one round trip to Redis per 500 devices that have open messages, whatever these have.
 */
export interface AstrayDeps {
  owned(): Iterable<OwnerRef>;
  readonly mailbox: Pick<Mailbox, 'astray'>;
  readonly statements: Pick<WindowStatements, 'nextSeqs' | 'refill'>;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
  /** the lanes are to be cleared and filled from the ledger */
  restart(device: OwnerRef, lanes: readonly number[]): void;
}

const ROUND = 500;

interface Place {
  readonly device: OwnerRef;
  readonly lane: number;
  readonly seq: number;
}

/** The result resolves with how many lanes were put right; rejects when a store does not answer. */
export function createAstray(deps: AstrayDeps): () => Promise<number> {
  const { mailbox, statements, telemetry } = deps;

  /** the oldest open message of each of these lanes, where there is one */
  const oldest = async (lanes: readonly Omit<Place, 'seq'>[]): Promise<Place[]> => {
    if (lanes.length === 0) return [];
    const asks = lanes.map(({ device, lane }) => ({ deviceId: device.deviceId, lane: LANES[lane] ?? 'normal', afterSeq: 0 }));
    const found = new Map((await statements.refill(asks, 1)).map((entry: RefillEntry) => [`${entry.deviceId} ${entry.lane}`, entry.seq]));
    return lanes.flatMap(({ device, lane }) => {
      const seq = found.get(`${device.deviceId} ${LANES[lane]}`);
      return seq === undefined ? [] : [{ device, lane, seq }];
    });
  };

  const round = async (devices: readonly OwnerRef[]): Promise<number> => {
    const byId = new Map(devices.map((device) => [device.deviceId, device]));
    const lanes = (await statements.nextSeqs([...byId.keys()])).flatMap(({ deviceId, lane, nextSeq, hasOpen }) => {
      const device = byId.get(deviceId);
      return device === undefined || !hasOpen || nextSeq <= 1 ? [] : [{ device, lane: LANES.indexOf(lane) }];
    });
    const first = await oldest(lanes);
    if (first.length === 0) return 0;
    const answers = await mailbox.astray(
      first.map(({ device: { deviceId, partition }, lane, seq }) => ({ deviceId, partition, lane, seq })),
    );
    const suspected = first.filter((_place, index) => answers[index] === true);
    // A1
    const still = new Set((await oldest(suspected)).map(({ device, lane, seq }) => `${device.deviceId} ${lane} ${seq}`));
    const astray = suspected.filter(({ device, lane, seq }) => still.has(`${device.deviceId} ${lane} ${seq}`));
    for (const { device, lane, seq } of astray) {
      telemetry.count('mailbox.astray');
      telemetry.log.warn('mailbox.astray', { deviceId: device.deviceId, epoch: device.epoch, lane: LANES[lane] ?? '', seq });
      deps.restart(device, [lane]);
    }
    return astray.length;
  };

  return async () => {
    const devices = [...deps.owned()];
    let put = 0;
    for (let from = 0; from < devices.length; from += ROUND) put += await round(devices.slice(from, from + ROUND));
    return put;
  };
}
