export { serverAddress } from './server-address.ts';
export { createWhatsappTransport, type WhatsappTransportDeps, type WhatsappTransportOptions } from './transport.ts';
