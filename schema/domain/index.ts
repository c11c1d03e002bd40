export * from './bus.ts';
export * from './errors.ts';
export * from './ids.ts';
export * from './link-protocol.ts';
export * from './live.ts';
export * from './partitions.ts';
export * from './redis-keys.ts';
export * from './states.ts';
