import type { SendOutcome } from '../port.ts';

/** Error codes of WhatsApp's acks, as data. They are obeyed, never worked around. */
interface RejectionRow {
  readonly code: number;
  readonly name: string;
  readonly detail: string;
  /** attempts after which it is not tried again; 0 = never again */
  readonly attempts: number;
  readonly retryAfterMs?: number;
}

const MINUTE = 60_000;
const REJECTIONS: readonly RejectionRow[] = [
  // a retry would count as another attempt to reach out and makes the restriction worse
  {
    code: 463,
    name: 'WHATSAPP_463',
    detail: 'the account may not start new chats now (reach-out time lock or missing token)',
    attempts: 0,
  },
  {
    code: 429,
    name: 'WHATSAPP_429',
    detail: 'WhatsApp asks this device to slow down',
    attempts: Number.POSITIVE_INFINITY,
    retryAfterMs: 15 * MINUTE,
  },
  {
    code: 479,
    name: 'WHATSAPP_479',
    detail: 'the stanza was refused, most likely a stale session of the recipient',
    attempts: 1,
    retryAfterMs: 5000,
  },
  // the server had no time for it
  { code: 500, name: 'WHATSAPP_500', detail: 'WhatsApp failed to process the message', attempts: 3, retryAfterMs: MINUTE },
  { code: 503, name: 'WHATSAPP_503', detail: 'WhatsApp is not available', attempts: Number.POSITIVE_INFINITY, retryAfterMs: MINUTE },
];

const byCode = new Map(REJECTIONS.map((row) => [row.code, row]));

/** What an ack with an error means for this attempt (the first is 1). An unknown code is final: the message is FAILED with the code. */
export function rejectionFor(error: string, attempt: number): Extract<SendOutcome, { kind: 'rejected' }> {
  const row = byCode.get(Number(error));
  if (row === undefined) {
    const code = /^\d{1,4}$/.test(error) ? `WHATSAPP_${error}` : 'WHATSAPP_REFUSED';
    return { kind: 'rejected', retry: false, code, detail: 'WhatsApp refused the message' };
  }
  const retry = attempt <= row.attempts;
  return {
    kind: 'rejected',
    retry,
    code: row.name,
    detail: row.detail,
    ...(retry && row.retryAfterMs !== undefined ? { retryAfterMs: row.retryAfterMs } : {}),
  };
}
