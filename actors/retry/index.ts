export { backoffMs, type Decision, decide, type RetryOptions } from './policy.ts';
