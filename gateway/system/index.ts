export { createGuard, DEPENDENCY_WAIT_MS, type Guard, isAway, unavailable } from './away.ts';
