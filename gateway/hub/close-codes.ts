/**
 * Why a GraphQL socket is closed. 44xx: graphql-transport-ws (graphql-ws, PROTOCOL.md); the rest are RFC 6455's or ours.
 * A stock graphql-ws client tries again after 4403, 4408, 1012, 1013 and 4503; 4400, 4401, 4406, 4409, 4429, 4500 and 1008 end it.
 */
export const CLOSE = Object.freeze({
  badRequest: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  subprotocol: 4406,
  initTimeout: 4408,
  duplicate: 4409,
  tooManyInit: 4429,
  internal: 4500,
  /** messages faster than the limit */
  abuse: 1008,
  /** going down: come back, another gateway answers */
  restart: 1012,
  /** keys cannot be checked now: come back later */
  tryLater: 1013,
  /** the reader did not drain: gateway/server */
  stalled: 4503,
});
