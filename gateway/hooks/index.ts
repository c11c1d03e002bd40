export { addHookRoutes, HOOKS_PATH, type HookRoutesDeps } from './routes.ts';
