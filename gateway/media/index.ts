export { createAskAgain } from './again.ts';
export { addMediaRoutes, RECEIVED_PATH } from './routes.ts';
