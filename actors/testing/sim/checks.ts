import { deviceKeys, ENDED_STATES, type MessageState, partitionKeys, partitionOf } from '../../../schema/domain/index.ts';
import type { Fleet } from './fleet.ts';
import { WINDOW } from './timing.ts';
import type { World } from './world-parts.ts';

/** What must hold when all faults have healed and the quiet time is over (research/actors.md 5: I3, I4, I7, I8). */

const WENT: ReadonlySet<MessageState> = new Set<MessageState>(['SENT', 'DELIVERED', 'READ']);

/** messages that have not ended */
export function openMessages(world: World): number {
  let open = 0;
  for (const message of world.tables.messages.values()) if (!ENDED_STATES.has(message.state)) open += 1;
  return open;
}

/** I8 at any time: no window is over its bound. */
export function checkDepth(world: World): void {
  for (const id of world.tables.devices.keys()) {
    for (const key of deviceKeys(id).mailbox) {
      const value = world.redis.peek(key);
      if (value?.type === 'stream' && value.entries.length > WINDOW) world.violation('I8', `${key} holds ${value.entries.length}`);
    }
  }
}

export function checkEnd(world: World, fleet: Fleet): void {
  const { tables, phones, violation } = world;
  const ended = new Map<string, number>();
  for (const message of tables.messages.values()) {
    const { id, state, deviceId, cause } = message;
    if (!ENDED_STATES.has(state)) {
      violation('I3', `${id} of ${deviceId} is still ${state} (attempt ${message.attempt}, seq ${message.seq})`);
      continue;
    }
    ended.set(deviceId, (ended.get(deviceId) ?? 0) + 1);
    const shown = phones.shown.has(id);
    if (WENT.has(state) && !shown) violation('I3', `${id} is ${state} and never reached its phone`);
    const denied = state === 'CANCELLED' || state === 'SUPPRESSED' || state === 'FAILED';
    if (denied && shown && message.attempt <= 1) violation('I4', `${id} is ${state} (${cause}), yet its phone has it`);
    if ((state === 'DEAD' || state === 'FAILED') && !tables.letters.has(id)) violation('I3', `${id} is ${state} without a dead letter`);
  }
  for (const [id, owner] of tables.ownership) {
    if (owner.ended !== (ended.get(id) ?? 0)) violation('I4', `${id}: ${owner.ended} counted as ended, ${ended.get(id) ?? 0} have`);
    checkOwner(world, fleet, id);
  }
  checkDepth(world);
}

const ownersOf = (fleet: Fleet, deviceId: string): string[] =>
  fleet.ids.filter((id) => fleet.running(id) && fleet.get(id).ownership()?.owned.get(deviceId)?.canAct() === true);

/** Devices that nobody may act for right now: for moments also those that are being handed over. */
export function unowned(world: World, fleet: Fleet): string[] {
  return [...world.tables.devices.keys()].filter((id) => ownersOf(fleet, id).length === 0);
}

/** I6: some time after the last fault nothing is without an owner. `before`: what had none a second ago, longer than a handover takes. */
export function checkOwned(world: World, fleet: Fleet, before: readonly string[]): void {
  const now = new Set(unowned(world, fleet));
  for (const id of before) if (now.has(id)) world.violation('I6', `${id} has no owner though all faults are long over`);
}

/** I7: owned by one node that runs, lease and fence in place; nothing left in the ready set. */
function checkOwner(world: World, fleet: Fleet, deviceId: string): void {
  const { redis, tables, violation } = world;
  const owners = ownersOf(fleet, deviceId);
  if (owners.length !== 1) {
    violation('I7', `${deviceId} is owned by ${owners.length === 0 ? 'nobody' : owners.join(' and ')}`);
    return;
  }
  const owner = fleet.get(owners[0] ?? '');
  const epoch = owner.ownership()?.owned.get(deviceId)?.epoch;
  if (owner.host()?.actors.get(deviceId)?.owned.epoch !== epoch) violation('I7', `${deviceId} is owned and its actor does not run`);
  const row = tables.ownership.get(deviceId);
  if (row?.epoch !== epoch || row?.node !== owners[0])
    violation('I7', `${deviceId}: the ledger names another owner (${row?.node}, ${row?.epoch})`);
  const fence = redis.peek(deviceKeys(deviceId).fence);
  if (fence?.type !== 'string' || Number(fence.text) !== epoch) violation('I7', `${deviceId}: the fence is not the owner's epoch`);
  const ready = redis.peek(partitionKeys(partitionOf(deviceId)).ready);
  if (ready?.type === 'zset' && ready.scores.has(deviceId)) violation('I7', `${deviceId} is left in the ready set`);
}
