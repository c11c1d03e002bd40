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
export { createFailures, type FailureOptions, type Failures } from './failures.ts';
export { hashOf, newLinkToken, newSecret, sameHash, secretOf } from './keys.ts';
