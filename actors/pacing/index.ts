export { drawPaceMs } from './pace.ts';
