import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { allows, type Scope, type Viewer } from '../../schema/graphql/index.ts';
import { type Authenticator, isAuthFailure, originAllowed, type Rates } from '../auth/index.ts';
import { HttpError, type HttpRequest } from '../server/index.ts';
import { DEPENDENCY_WAIT_MS } from './away.ts';

/** Who asks a plain HTTP route, and may they? The same keys, Origins and rates as of /graphql. */
export interface HttpViewerDeps {
  readonly auth: Authenticator;
  readonly rates?: Rates;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly allowedOrigins?: readonly string[];
}

/** @throws HttpError 401, 403 or 429 */
export type HttpViewer = (request: HttpRequest, scope: Scope) => Promise<Viewer>;

export function createHttpViewer(deps: HttpViewerDeps): HttpViewer {
  const { auth, clock, telemetry } = deps;
  return async (request, scope) => {
    const { origin } = request.headers;
    if (!originAllowed({ origin, headers: request.headers }, deps.allowedOrigins ?? []))
      throw new HttpError(403, 'pages of this Origin may not use the API: see ALLOWED_ORIGINS');
    const viewer = await auth.authenticate({
      authorization: request.headers['authorization'],
      tenant: request.headers['x-flotilla-tenant'],
      remote: request.remote,
      deadline: clock.monotonic() + DEPENDENCY_WAIT_MS,
    });
    if (isAuthFailure(viewer))
      throw new HttpError(viewer.status, viewer.message, viewer.status === 401 ? { 'www-authenticate': 'Bearer' } : {});
    if (!allows(viewer, scope)) throw new HttpError(403, `expected a key with the scope ${scope.toUpperCase()}`);
    const refused = deps.rates?.take({ key: viewer.keyId, tenant: viewer.tenantId, address: request.remote }) ?? null;
    if (refused !== null) {
      telemetry.count('limit.rejected', 1, { limit: refused.limit });
      throw new HttpError(429, 'too many requests', { 'retry-after': String(Math.ceil(refused.retryAfterMs / 1000)) });
    }
    return viewer;
  };
}
