export { createGuard, DEPENDENCY_WAIT_MS, type Guard, isAway, neverReached, REQUEST_WAIT_MS, tooLate, unavailable } from './away.ts';
export { createHttpViewer, type HttpViewer, type HttpViewerDeps } from './http-viewer.ts';
export { type Readiness, readiness } from './ready.ts';
export { checkRedis, plainAddress, problemsOf, type RedisReport } from './redis-check.ts';
export { createSystemRoutes, type SystemDeps } from './routes.ts';
export { createUpkeep, type Upkeep, type UpkeepDeps } from './upkeep.ts';
