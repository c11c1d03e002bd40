export * from './partitions.ts';
export type { SqlRunner } from './statement.ts';
export type * from './types.ts';
