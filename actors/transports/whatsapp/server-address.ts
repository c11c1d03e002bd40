import { isLoopback } from '../../../ops/connect/index.ts';
import { FlotillaError } from '../../../schema/domain/index.ts';
import type { HttpProxy } from './tunnel.ts';

export interface ServerSettings {
  readonly WHATSAPP_URL?: string | undefined;
  readonly WHATSAPP_FORBID_REAL: boolean;
}

/**
 * The address a socket may be opened to; undefined = WhatsApp's own servers. Asked right before every connect, so no test and no local
 * demo reaches them: with WHATSAPP_FORBID_REAL=true (in the settings, or in the process's environment, where every test run has it)
 * only an explicit loopback address passes, and a proxy only if it is on this machine too.
 * @throws FlotillaError terminal WHATSAPP_FORBIDDEN
 */
export function serverAddress(
  settings: ServerSettings,
  proxy: Pick<HttpProxy, 'url'> | null = null,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const forbidden = settings.WHATSAPP_FORBID_REAL || environment['WHATSAPP_FORBID_REAL'] === 'true';
  if (!forbidden) return settings.WHATSAPP_URL;
  const address = settings.WHATSAPP_URL;
  if (address === undefined) throw refused("WHATSAPP_URL is not set, which means WhatsApp's own servers");
  const { hostname } = new URL(address);
  if (!isLoopback(hostname)) throw refused(`WHATSAPP_URL names ${hostname}, which is not this machine`);
  if (proxy !== null && !isLoopback(proxy.url.hostname)) throw refused('the proxy of the device is not this machine');
  return address;
}

const refused = (why: string): FlotillaError =>
  new FlotillaError('terminal', 'WHATSAPP_FORBIDDEN', `WHATSAPP_FORBID_REAL=true: no connection is made, because ${why}`);
