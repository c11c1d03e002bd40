import type { Ownership } from './port.ts';
import type { OwnershipDeps, OwnershipOptions } from './types.ts';

/** Makes the ownership of one node; nothing runs before `start`. */
export function createOwnership(_deps: OwnershipDeps, _options: OwnershipOptions): Ownership {
  throw new Error('not built yet');
}
