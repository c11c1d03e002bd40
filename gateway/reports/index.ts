export { createReportReads } from './reads.ts';
export { addReportRoutes, REPORTS_PATH, type ReportRoutesDeps } from './routes.ts';
