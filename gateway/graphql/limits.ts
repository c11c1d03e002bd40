/**
 * What one operation may cost, the same on HTTP, WebSocket and SSE. Every caller holds a key, so these bound mistakes and abuse by key
 * holders, not strangers. Load drivers send 100 `sendMessage` aliases in one request: aliases and tokens leave room for that.
 */
export interface OperationLimits {
  /** UTF-8 bytes of the document */
  readonly documentBytes: number;
  readonly tokens: number;
  /** nesting of fields outside of introspection */
  readonly depth: number;
  /** nesting inside `__schema` and `__type`: GraphiQL's own query needs 15 */
  readonly introspectionDepth: number;
  readonly aliases: number;
  readonly directives: number;
  /** sum over all fields, lists multiplied by what is asked for */
  readonly cost: number;
}

export const OPERATION_LIMITS: OperationLimits = Object.freeze({
  documentBytes: 64 * 1024,
  tokens: 10_000,
  depth: 10,
  introspectionDepth: 18,
  aliases: 101,
  directives: 50,
  cost: 10_000,
});

/** The whole request body: document, variables and extensions. Variables of 100 messages of 4,096 characters fit. */
export const HTTP_BODY_BYTES = 1024 * 1024;
/** Parsed and validated documents kept, and how many characters of source they may have together: parsed they take up to a hundred times as much. */
export const DOCUMENT_CACHE = 1000;
export const DOCUMENT_CACHE_CHARACTERS = 512 * 1024;
/** Larger documents are not kept: they hold inline values and do not come again. */
export const CACHED_DOCUMENT_BYTES = 16 * 1024;
