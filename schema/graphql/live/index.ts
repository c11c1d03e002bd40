import type { Kit } from '../builder.ts';

/** Subscription fields and live types; defines the subscription root itself (`kit.builder.subscriptionType`). */
export function addLive(_kit: Kit): void {}
