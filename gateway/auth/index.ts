export {
  type AuthDeps,
  type Authenticator,
  type AuthFailure,
  type AuthOptions,
  type AuthRequest,
  createAuthenticator,
  isAuthFailure,
  type StoredKey,
} from './authenticate.ts';
export { DEFAULT_TENANT, ensureAccess, sqlLookups } from './bootstrap.ts';
export { type Crowd, createCrowd } from './crowd.ts';
export { createFailures, FAILURE_SHARES, type FailureOptions, type Failures } from './failures.ts';
export { hashOf, newLinkToken, newSecret, secretOf } from './keys.ts';
export { sharesFrom } from './lease-share.ts';
export { originAllowed } from './origin.ts';
export { createRates, type RateOptions, type RateRefusal, type RateShares, type Rates, shareLimits } from './rates.ts';
export { createRevocations, type Revocations } from './revocations.ts';
export { createShares, type ShareLimits, type ShareSource, type Shares } from './shares.ts';
