export { type Builder, decodeId, encodeId, type Kit, type SendabilityShape, type StateCountShape, uuidOf } from './builder.ts';
export * from './context.ts';
export * from './live/port.ts';
export { owed, resyncRequired } from './live/source.ts';
export { createLoaders } from './loaders.ts';
export { problem, Refusal, type UserErrorShape } from './problems.ts';
export { buildSchema } from './schema.ts';
export type { WebhookPort, WebhookTest } from './webhook/port.ts';
