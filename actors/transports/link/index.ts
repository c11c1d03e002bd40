export { createLinkTransport, type LinkBus, type LinkDeps, type LinkPresence, type LinkTransport } from './link.ts';
