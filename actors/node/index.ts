export { createNodeBus, type NodeBus } from './bus.ts';
export { createSubscriptions, type Subscriptions } from './subscriptions.ts';
