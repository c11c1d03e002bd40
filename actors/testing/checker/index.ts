export { type DelayWatch, watchDelay } from './delay.ts';
export { acceptedAt, type Flow, type FlowWatch, watchFlow } from './flow.ts';
export { createJudge, FAULT_FIGURES, type FaultFigure, type Judge, type LedgerRow, type Verdict } from './judge.ts';
export { quantile } from './quantile.ts';
export { readArrivals } from './read-arrivals.ts';
export { type Takeover, type TakeoverWatch, watchTakeover } from './takeover.ts';
