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
export { createFailures, type FailureOptions, type Failures } from './failures.ts';
export { hashOf, newLinkToken, newSecret, secretOf } from './keys.ts';
