export { admit, BREAKER, type BreakerOptions, type BreakerState, CLOSED, recordAnswer } from './device-breaker.ts';
export { createFleetBreaker, FLEET_BREAKER, type FleetBreaker, type FleetBreakerOptions } from './fleet-breaker.ts';
