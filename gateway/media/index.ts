export { addMediaRoutes, RECEIVED_PATH } from './routes.ts';
