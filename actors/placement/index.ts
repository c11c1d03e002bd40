export { type ChangeCursor, createChangeCursor } from './changes.ts';
export { createDirectory, type Directory, type DirectorySource } from './directory.ts';
export { type Claimed, mayClaim, nextRamp, RAMP_CAP, RAMP_LEAST, RAMP_START, type Ramp, startRamp } from './ramp.ts';
export { type Loaded, movesFor } from './rebalance.ts';
export { createRegistry, type NodeHeartbeat, NodeIdTakenError, type Registry, type RegistryOptions } from './registry.ts';
export { bound, type Candidate, OVERLOAD, plan, ranked, rankOf } from './rendezvous.ts';
export { type Absent, createWaiting, type Waiting } from './waiting.ts';
