export { withinDeadline } from './deadline.ts';
export { createOwnershipLedger } from './ledger.ts';
export { createOwnership } from './ownership.ts';
export type { GrantReason, LossCause, OwnedDevice, Ownership, OwnershipListener } from './port.ts';
export type * from './types.ts';
