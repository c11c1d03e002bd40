export { controlPhones, type PhonesControl } from './control.ts';
export { createPhones, type Phones, type PhonesOptions } from './phones/phones.ts';
export { createSimulatorTransport, type SimulatorDeps, type SimulatorOptions } from './transport.ts';
export { type Arrival, addressOf, createLineSplitter, type FaultAsk, type FromPhones, type PhonesFigures, type ToPhones } from './wire.ts';
