export { ACCEPT_DEFAULTS, type Accept, type AcceptDeps, type AcceptOptions, createAccept } from './accept.ts';
