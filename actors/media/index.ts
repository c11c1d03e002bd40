export { MediaProblem } from './problem.ts';
export { type OpenOptions, type OpenSettings, openReceived } from './received.ts';
