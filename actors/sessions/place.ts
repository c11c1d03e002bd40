import type { Sql } from '../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../ops/lifecycle/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';
import type { SealedStore } from './sealed.ts';

const takeSession = readAsset(import.meta.url, './take-session.sql');
const sessionPlaced = readAsset(import.meta.url, './session-placed.sql');

export interface PlaceDeps {
  readonly sql: Sql;
  readonly sealed: SealedStore;
  readonly clock: Pick<Clock, 'wall'>;
}

/**
 * Puts a session in place by hand (restore, import): the device gets a new epoch, so that its present owner writes no more; `write` stores the session
 * under it; then the owner lets go and the next one starts from it. Cut off in between, the device is without creds, as before a pairing.
 * @throws FlotillaError terminal DEVICE_NOT_FOUND, SESSION_EXISTS (unless `replace`)
 */
export async function placeSession(
  deps: PlaceDeps,
  deviceId: string,
  replace: boolean,
  write: (epoch: number) => Promise<void>,
): Promise<void> {
  const { sql, sealed } = deps;
  // epoch 0 has never been an owner's: a look that claims nothing
  if (!replace && (await sealed.open(deviceId, 0)) !== null) {
    throw new FlotillaError(
      'terminal',
      'SESSION_EXISTS',
      `device ${deviceId} has a session; an older one in its place would unlink the phone`,
    );
  }
  const rows = await sql.unsafe<{ epoch: number }[]>(takeSession, [deviceId]);
  const epoch = rows[0]?.epoch;
  if (epoch === undefined) throw new FlotillaError('terminal', 'DEVICE_NOT_FOUND', `there is no WhatsApp device ${deviceId}`);
  await sealed.open(deviceId, epoch);
  if (!(await sealed.erase(deviceId, epoch))) throw fenced(deviceId);
  await write(epoch);
  await sql.unsafe(sessionPlaced, [deviceId, deps.clock.wall()]);
}

export const fenced = (deviceId: string): FlotillaError =>
  new FlotillaError('fenced', 'SESSION_FENCED', `device ${deviceId} got another owner in between; try again`);
