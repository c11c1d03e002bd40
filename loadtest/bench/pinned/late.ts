/** A message as the ledger has it; wall ms. */
export interface LedgerMessage {
  readonly id: string;
  readonly device: string;
  readonly acceptedAt: number;
  /** null: no node took it yet */
  readonly intentAt: number | null;
}

/**
 * When each message was due: when its device's pace allowed it, `paceMs` after the intent of the message before, but not before it was accepted.
 * Pure; linear.
 * @param messages in the order of each device's queue
 */
export function dueTimes(messages: readonly LedgerMessage[], paceMs: number): Map<string, number> {
  const due = new Map<string, number>();
  const last = new Map<string, number>();
  for (const { id, device, acceptedAt, intentAt } of messages) {
    due.set(id, Math.max(acceptedAt, (last.get(device) ?? Number.NEGATIVE_INFINITY) + paceMs));
    if (intentAt !== null) last.set(device, intentAt);
  }
  return due;
}
