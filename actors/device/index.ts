export { createActor } from './actor.ts';
export {
  type DeviceEffect,
  type DeviceEvent,
  type DeviceFacts,
  explain,
  type Hindrance,
  hindrance,
  initialFacts,
  named,
  type Sendability,
  step,
  type Trouble,
  type Turn,
  type WaitCode,
} from './machine.ts';
export type {
  Actor,
  ActorHost,
  ActorLedger,
  ActorMailbox,
  ActorOptions,
  ActorPorts,
  Leave,
  Line,
  MessageNews,
  OwnerRef,
  Urgency,
} from './ports.ts';
