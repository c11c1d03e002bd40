export { type ArenaResult, playPeer } from './arena.ts';
export { BULLMQ } from './bullmq.ts';
export { GRAPHILE_WORKER } from './graphile.ts';
export type { Peer } from './peer.ts';
export { dialPhones, type PhoneLine } from './phone-line.ts';
export { COMPARED, strikeOf } from './strikes.ts';
