export { type Audit, createAudit } from './audit.ts';
export { createDocuments, type Documents, type DocumentsMode, readTrustedDocuments } from './documents.ts';
export { rateError } from './errors.ts';
export { createExecutor, type Executor, type ExecutorDeps, type Variables } from './executor.ts';
export { createGraphqlHttp, type GraphqlHttpDeps } from './http.ts';
export { HTTP_BODY_BYTES, OPERATION_LIMITS, type OperationLimits } from './limits.ts';
export { isRejected, type Operation, type OperationRequest, type Rejected } from './operation.ts';
export { createServices, endMessages, type ServicesDeps } from './services.ts';
