import type { DeviceRow, EpochPair, IntentItem, ResultItem } from '../../../schema/sql/index.ts';
import type { OwnershipLedger } from '../../lease/index.ts';
import type { Statements } from '../../node/index.ts';
import type { Audit } from './audit.ts';
import { acceptModel, nextSeqsModel, promoteDueModel, refillModel } from './ledger-lanes.ts';
import { changeDevice, type Tables } from './ledger-rows.ts';
import { adoptModel, bumpModel, intentModel, lastEndedModel, overdueModel, resultModel } from './ledger-turn.ts';
import type { Channel, Link, Network } from './network.ts';
import type { Party } from './scheduler.ts';
import type { World } from './world-parts.ts';

/** The simulated Postgres as one process sees it: every statement is one request over its link, done in one step when it arrives. */
export interface LedgerDeps {
  readonly network: Network;
  readonly link: Link;
  readonly party: Party;
  readonly tables: Tables;
  readonly audit: Audit;
  readonly ambush: World['ambush'];
  /** wall ms of the server */
  wall(): number;
}

/** statement_timeout: the server ends what takes longer, and the client hears of it */
export const STATEMENT_MS = 15_000;
const broken = (): Error => Object.assign(new Error('write CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' });

function channelOf(deps: LedgerDeps): Channel {
  return {
    party: deps.party,
    link: deps.link,
    ordered: false,
    timeoutMs: STATEMENT_MS,
    latency: [0.3, 1.5],
    closed: broken,
    timedOut: broken,
    arrived: 0,
    answered: 0,
  };
}

export interface LedgerClient {
  readonly statements: Statements;
  readonly ownership: OwnershipLedger;
  readonly accept: (items: Parameters<typeof acceptModel>[1]) => Promise<ReturnType<typeof acceptModel>>;
}

export function createLedgerClient(deps: LedgerDeps): LedgerClient {
  const { tables, audit } = deps;
  const channel = channelOf(deps);
  const run = <T>(what: string, statement: (now: number) => T): Promise<T> =>
    deps.network.request(channel, what, () => {
      const answer = statement(deps.wall());
      const { ambush } = deps;
      if (ambush.what === what) {
        ambush.what = undefined;
        ambush.strike(deps.party);
      }
      return answer;
    });
  const rowsOf = (ids: readonly string[]): DeviceRow[] => ids.flatMap((id) => tables.devices.get(id) ?? []);
  const nothing = async (): Promise<void> => {};

  const statements: Statements = {
    turn: {
      intent: (items: readonly IntentItem[]) => run('intent', (now) => audit.intent(tables, items, () => intentModel(tables, items, now))),
      result: (items: readonly ResultItem[]) => run('result', (now) => audit.result(tables, items, () => resultModel(tables, items, now))),
      async adopt(pairs: readonly EpochPair[]) {
        const adopted = await run('adopt', () => audit.adopt(tables, pairs, () => adoptModel(tables, pairs)));
        const ids = pairs.map((pair) => pair.deviceId);
        return { adopted, ended: await run('last-ended', () => lastEndedModel(tables, ids)) };
      },
      overdue: (ids, olderThanMs) => run('overdue', (now) => overdueModel(tables, ids, olderThanMs, now)),
      ping: () => run('ping', () => 1),
    },
    window: {
      refill: (asks, limit) => run('refill', () => refillModel(tables, asks, limit)),
      nextSeqs: (ids) => run('next-seqs', () => nextSeqsModel(tables, ids)),
      promoteDue: (limit) => run('promote', (now) => promoteDueModel(tables, limit, now)),
    },
    device: {
      loadDevices: (ids) => run('load-devices', () => rowsOf(ids)),
      changedDevices: (since) => run('changed', () => [...tables.devices.values()].filter((row) => row.changedAt >= since)),
      setPaired: (deviceId) => run('set-paired', (now) => changeDevice(tables, deviceId, { paired: true }, now)),
      setQuarantine: (deviceId, reason) =>
        run('set-quarantine', (now) =>
          tables.devices.get(deviceId)?.quarantined === false
            ? changeDevice(tables, deviceId, { quarantined: true, quarantineReason: reason }, now)
            : null,
        ),
      pause: (_tenantId, deviceId, reason) =>
        run('pause', (now) => changeDevice(tables, deviceId, { paused: true, pauseReason: reason }, now)),
      storeInbound: nothing,
      suppress: nothing,
      loadOptWords: async () => [],
      liftOptOuts: nothing,
    },
    upkeep: { addTraffic: nothing, partitions: nothing },
  };
  const ownership: OwnershipLedger = {
    devices: () => run('all-devices', () => [...tables.devices.keys()].map((deviceId) => ({ deviceId, pin: null }))),
    changed: (since) =>
      run('changed', () =>
        [...tables.devices.values()]
          .filter((row) => row.changedAt >= since)
          .map((row) => ({ deviceId: row.id, gone: row.deleted, pin: null, changedAt: row.changedAt })),
      ),
    owners: (ids) =>
      run('owners', () =>
        ids.flatMap((id) => {
          const row = tables.ownership.get(id);
          return row === undefined ? [] : [{ deviceId: id, epoch: row.epoch, node: row.node }];
        }),
      ),
    bump: (pairs, node) => run('bump', () => audit.bump(tables, pairs, () => bumpModel(tables, pairs, node))),
    saveNode: () => run('save-node', () => ({ drain: false })),
  };
  return {
    statements,
    ownership,
    accept: (items) => run('accept', (now) => acceptModel(tables, items, now)),
  };
}
