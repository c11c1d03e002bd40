export { createProxySeal, type ProxySeal } from './proxy-seal.ts';
export { serverAddress } from './server-address.ts';
export { createWhatsappTransport, type WhatsappTransportDeps, type WhatsappTransportOptions } from './transport.ts';
export { requestThrough } from './tunnel.ts';
