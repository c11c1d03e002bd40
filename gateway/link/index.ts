export { asyncapiDocument } from './asyncapi.ts';
export { FRAME_BYTES, LINK_CLOSE } from './frames.ts';
export { createLink, type Link, type LinkDeps, type LinkOptions, type LinkSession } from './link.ts';
