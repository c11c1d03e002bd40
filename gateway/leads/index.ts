export { cellOf } from './export.ts';
export { leadOfObject } from './ndjson.ts';
export { createPhoneReader, isRegion, type PhoneCheck, type PhoneReader } from './phone.ts';
export { addLeadRoutes, IMPORT_BYTES, LEADS_PATH, type LeadRoutesDeps } from './routes.ts';
