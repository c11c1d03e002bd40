import type { DeviceState, MessageState, NodeState } from '../domain/index.ts';

/** What the states mean, as the API's documentation says it. The order is that of schema/domain/states.ts. */

export const MESSAGE_STATE_MEANING: Readonly<Record<MessageState, string>> = {
  QUEUED: 'Accepted; it waits for its time, its place or its next try.',
  SENDING: 'An attempt has begun.',
  WRITTEN: 'Handed to the network; the provider has not answered yet.',
  UNKNOWN: 'The outcome of an attempt is not known; it is found out in bounded time.',
  FAILED: 'The provider refused it for good. It can be redriven.',
  DEAD: 'All attempts are used up, or a person has to decide. It can be redriven.',
  CANCELLED: 'Taken back before it was tried.',
  SUPPRESSED: 'The recipient has asked not to be messaged.',
  SENT: 'The provider has taken it.',
  DELIVERED: 'It has reached the recipient.',
  READ: 'The recipient has read it.',
};

export const DEVICE_STATE_MEANING: Readonly<Record<DeviceState, string>> = {
  UNPAIRED: 'It has no session: it has to be paired.',
  PAIRING: 'It waits for a phone to accept it.',
  CONNECTING: 'It is on its way to its provider.',
  ONLINE: 'Connected, and ready to send.',
  SENDING: 'Connected, and sending.',
  THROTTLED: 'Connected; its pace or its cap makes it wait.',
  CIRCUIT_OPEN: 'Too many sends failed: it tries again carefully.',
  PAUSED: 'A person, or a rule, made it hold its messages.',
  OFFLINE: 'Its provider or its phone cannot be reached.',
  LOGGED_OUT: 'Its provider has ended the session.',
  MOVING: 'One node hands it to another.',
  UNKNOWN: 'No owner speaks for it now.',
  QUARANTINED: 'It was ending the nodes that hosted it; an operator releases it.',
};

export const NODE_STATE_MEANING: Readonly<Record<NodeState, string>> = {
  JOINING: 'It has started and takes its first devices.',
  ACTIVE: 'It owns devices and takes more.',
  DRAINING: 'It hands its devices over and takes no more.',
  GONE: 'It has ended, or has been silent for 15 s.',
};
