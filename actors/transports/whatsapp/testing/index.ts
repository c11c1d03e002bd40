export { type LocalWhatsapp, startLocalWhatsapp } from './local-server.ts';
export { seedSession } from './seed.ts';
