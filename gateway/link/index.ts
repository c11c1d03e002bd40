export { asyncapiDocument } from './asyncapi.ts';
export { createLinkCloser } from './closer.ts';
export { createLink, type Link, type LinkDeps, type LinkOptions } from './link.ts';
export type { LinkSession } from './session.ts';
