import { FlotillaError, proxyOf, type StoredProxy } from '../../../schema/domain/index.ts';
import { type KeyRing, proxyContext } from '../../sessions/index.ts';
import { type HttpProxy, proxyUrl, shownProxy } from './tunnel.ts';

/** Proxies of devices at rest: the whole address is sealed with the key ring, bound to its device; beside it stands what may be shown. */
export interface ProxySeal {
  /** @throws AddressRefused for an address that is not taken */
  seal(deviceId: string, address: string): StoredProxy;
  /**
   * The proxy of a device with these settings; null = it has none.
   * @throws FlotillaError terminal PROXY_UNREADABLE: it has one, and the ring does not open it. Then there is no way out, not a direct one.
   */
  open(deviceId: string, settings: Readonly<Record<string, unknown>>): HttpProxy | null;
}

/** a tunnel that does not stand within this is given up; guess */
const TUNNEL_MS = 15_000;

/** `ring` is called at the first need. `allowed`: `host:port` of proxies in a private network */
export function createProxySeal(ring: () => KeyRing, allowed: readonly string[]): ProxySeal {
  let loaded: KeyRing | undefined;
  const keys = (): KeyRing => {
    loaded ??= ring();
    return loaded;
  };
  return {
    seal(deviceId, address) {
      const url = proxyUrl(address, allowed);
      return { sealed: keys().seal(Buffer.from(url.href), proxyContext(deviceId)).toString('base64'), shown: shownProxy(url) };
    },
    open(deviceId, settings) {
      const stored = proxyOf(settings);
      if (stored === null) return null;
      try {
        const url = new URL(
          keys()
            .open(Buffer.from(String(stored.sealed), 'base64'), proxyContext(deviceId))
            .toString(),
        );
        return { url, allowed, timeoutMs: TUNNEL_MS };
      } catch {
        // no cause: it could name what was sealed
        throw new FlotillaError('terminal', 'PROXY_UNREADABLE', 'the address of its proxy does not open with SESSION_KEYS: set it again');
      }
    },
  };
}
