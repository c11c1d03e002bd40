export {
  type HttpAnswer,
  HttpError,
  type HttpHandler,
  type HttpRequest,
  type RouteOptions,
  type SendOutcome,
  type Server,
  type Socket,
  type UpgradeInfo,
  type UpgradeVerdict,
  type WebSocketBehaviour,
} from './port.ts';
export { createServer, type ServerOptions } from './server.ts';
export { loadStatic, type StaticFiles } from './static.ts';
