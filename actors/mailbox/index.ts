export { type AckPlace, type ControlLane, createControlLane, type DeviceAck } from './control.ts';
export { createEnqueuer, type EnqueueEntry, type Enqueuer } from './enqueue.ts';
export {
  createMailbox,
  type LaneLook,
  type LaneRefill,
  type Look,
  type Mailbox,
  type MailboxHead,
  type MailboxPlace,
  type PeekAnswer,
  type PeekAsk,
  type RefillAnswer,
  type RefillOrder,
  type RefillRow,
} from './mailbox.ts';
export type { MailboxRedis } from './script.ts';
