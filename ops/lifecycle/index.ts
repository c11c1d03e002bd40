export { readAsset } from './asset.ts';
export { type Clock, type Dice, seededDice, systemClock, systemDice } from './clock.ts';
export { keepHeapSmall } from './heap.ts';
export { createLifetime, type Lifetime } from './lifetime.ts';
export { endOnSignals } from './process.ts';
