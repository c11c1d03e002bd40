import type { Redis, Sql } from '../../../ops/connect/index.ts';
import { readAsset } from '../../../ops/lifecycle/index.ts';
import { BELL, type NewChats, partitionKeys, partitionOf } from '../../../schema/domain/index.ts';

/**
 * What WhatsApp said of the accounts, kept with the devices (`settings.standing`, schema/domain/standing.ts), so that the ledger's intent obeys it whoever
 * owns the device, and the API shows it. Called by device-connection.ts and reach-out.ts. Each resolves once it is written and rejects when it could not be.
 */
export interface Standing {
  /** no new chats before `until` (wall ms) */
  pauseCold(owner: Owner, until: number, why: string): Promise<void>;
  /** what was set aside meanwhile is due at once */
  resumeCold(owner: Owner): Promise<void>;
  /** nothing at all before `until` (wall ms) */
  hold(owner: Owner, until: number): Promise<void>;
  newChats(owner: Owner, chats: NewChats): Promise<void>;
  /** somebody wrote to a device that starts no new chats now */
  acquainted(deviceId: string, phone: string): Promise<void>;
  /** do the device and this number know each other? */
  isWarm(deviceId: string, phone: string): Promise<boolean>;
}
export interface Owner {
  readonly id: string;
  readonly epoch: number;
}

const pauseCold = readAsset(import.meta.url, './pause-cold.sql');
const resumeCold = readAsset(import.meta.url, './resume-cold.sql');
const noteStanding = readAsset(import.meta.url, './note-standing.sql');
const addAcquaintance = readAsset(import.meta.url, './add-acquaintance.sql');
const isWarm = readAsset(import.meta.url, './is-warm.sql');

export function createStanding(deps: { readonly sql: Sql; readonly redis: Pick<Redis, 'publish'> }): Standing {
  const ask = (text: string, parameters: (string | number)[]) => deps.sql.unsafe(text, parameters, { prepare: true });
  const write = async (owner: Owner, text: string, parameters: (string | number)[]): Promise<void> => {
    const rows = await ask(text, [owner.id, owner.epoch, ...parameters]);
    // the owner's copy of the row follows at once; without the bell it does within seconds
    if (rows.length > 0) await deps.redis.publish(partitionKeys(partitionOf(owner.id)).bell, `${BELL.changed}${owner.id}`);
  };
  return {
    pauseCold: (owner, until, why) => write(owner, pauseCold, [Math.floor(until), why]),
    resumeCold: (owner) => write(owner, resumeCold, []),
    hold: (owner, until) => write(owner, noteStanding, [JSON.stringify({ heldUntil: Math.floor(until) })]),
    newChats: (owner, chats) => write(owner, noteStanding, [JSON.stringify({ newChats: chats })]),
    acquainted: async (deviceId, phone) => void (await ask(addAcquaintance, [deviceId, phone])),
    isWarm: async (deviceId, phone) => (await ask(isWarm, [deviceId, phone])).length > 0,
  };
}
