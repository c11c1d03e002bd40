import type { IntentItem, IntentMessage, ResultItem } from '../../schema/sql/index.ts';
import type { MailboxHead } from '../mailbox/index.ts';
import type { Decision } from '../retry/index.ts';
import type { OutboundMessage, SendOutcome } from '../transports/port.ts';
import type { OwnerRef } from './ports.ts';

/** what a device is said to wait for when the ledger gives no leave yet */
export const HOLDS = { PACED: 'PACE', CAPPED: 'DAILY_CAP', HELD: 'RATE_LIMITED', QUIET: 'QUIET_HOURS', PROBATION: 'PROBATION' } as const;
/** waits that a change of the device's settings may end */
export const SET_BY_PEOPLE: ReadonlySet<string> = new Set(['DAILY_CAP', 'QUIET_HOURS']);
/** what the ledger made of a message that it took out of its lane */
export const TAKEN_OUT = { COLD: 'QUEUED', UNPLANNED: 'CANCELLED', SUPPRESSED: 'SUPPRESSED', DEAD: 'DEAD' } as const;

/** What the ledger is asked before a send. */
export function intentOf(
  { deviceId, epoch }: OwnerRef,
  { messageId, seq }: MailboxHead,
  node: string,
  paceMs: number,
  resendUnknown: boolean,
  budget: number,
): IntentItem {
  return { deviceId, epoch, node, messageId, paceMs, resendUnknown, budget, seq };
}

/** A result about one attempt with nothing said yet; `at` is wall ms. */
export function aboutAttempt(device: OwnerRef, messageId: string, attempt: number, at: number): Omit<ResultItem, 'state'> {
  return { messageId, deviceId: device.deviceId, epoch: device.epoch, attempt, cause: null, error: null, dueAt: null, at };
}

/** What the ledger is told of a send. */
export function resultOf(about: Omit<ResultItem, 'state'>, outcome: SendOutcome, decision: Decision): ResultItem {
  return {
    messageId: about.messageId,
    deviceId: about.deviceId,
    epoch: about.epoch,
    attempt: about.attempt,
    state: decision.state,
    cause: decision.cause,
    error: outcome.kind === 'rejected' ? outcome.detail : outcome.kind === 'sent' ? null : outcome.code,
    dueAt: decision.state === 'QUEUED' ? about.at + decision.afterMs : null,
    at: outcome.kind === 'sent' ? outcome.at : about.at,
  };
}

/** What the transport is asked to send. */
export function outboundOf({ id, attempt, recipient, body, content }: IntentMessage): OutboundMessage {
  return { id, attempt, to: recipient, body, content };
}
