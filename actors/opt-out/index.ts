export { createOptOut, type OptStatements, wishOf } from './opt-out.ts';
export { START_WORDS, STOP_WORDS } from './words.ts';
