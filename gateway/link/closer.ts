import type { Redis } from '../../ops/connect/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { deviceKeys, gatewayChannel, type ToGateway } from '../../schema/domain/index.ts';
import { placeOf } from './presence.ts';

/**
 * Tells the gateway that has a device's socket to close it. Fire and forget: a word that is lost is repaired by that gateway's own look at the
 * tokens of its devices (roster.ts, every third heartbeat).
 */
export function createLinkCloser(
  redis: Pick<Redis, 'get' | 'publish'>,
  telemetry: Pick<Telemetry, 'log'>,
): (deviceId: string, reason: 'TOKEN_REVOKED' | 'DEVICE_DELETED') => void {
  return (deviceId, reason) => {
    const tell = async (): Promise<void> => {
      const place = placeOf(await redis.get(deviceKeys(deviceId).link));
      if (place === null) return;
      const word: ToGateway = { kind: 'link.close', deviceId, reason, socket: place.socket };
      await redis.publish(gatewayChannel(place.gateway), JSON.stringify([word]));
    };
    tell().catch((error: unknown) => telemetry.log.warn('link.close.untold', {}, error));
  };
}
