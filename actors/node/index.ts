export { ledgerStatements } from './bind.ts';
export { createNodeBus, type NodeBus } from './bus.ts';
export type { TransportLoaders } from './connections.ts';
export { createHost, type Host, type HostDeps, type HostOptions } from './host.ts';
export { type Check, type NodeHttp, startNodeHttp } from './http.ts';
export { createLedgerClock, type LedgerClock } from './ledger-clock.ts';
export type { Statements } from './statements.ts';
export { createSubscriptions, type Subscriptions } from './subscriptions.ts';
