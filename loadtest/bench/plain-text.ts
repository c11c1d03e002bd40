import type { AcceptItem } from '../../schema/sql/index.ts';

/** A message as benches accept it: plain words, due now, under no key. */
export const plainText = (message: Pick<AcceptItem, 'id' | 'tenantId' | 'deviceId' | 'recipient' | 'body'>): AcceptItem => ({
  ...message,
  lane: 'high',
  idempotencyKey: null,
  contentHash: new Uint8Array(32),
  scheduledAt: null,
  traceparent: null,
});
