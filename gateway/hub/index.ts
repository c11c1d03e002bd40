export { CLOSE } from './close-codes.ts';
export { createEngine } from './engine.ts';
export { createHub, type Hub, type HubDeps, type HubOptions } from './hub.ts';
export { isDenied, type OperationEngine, type OperationRequest, type PreparedOperation } from './port.ts';
export { createStreams, createTotals, type Streams, type StreamsDeps } from './streams.ts';
