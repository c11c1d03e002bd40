import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { GraphQLError } from 'graphql';
import { requestError } from './errors.ts';

/**
 * Documents that are named by their SHA-256 instead of being sent (`extensions.persistedQuery`, as Apollo's clients do it).
 * `off`: every document comes as text. `apq`: a document that came once with its hash may be named from then on. `trusted`: only documents of a list
 * run; a text runs if it is on the list, others for admins alone.
 * Owns: the documents by hash; of `apq` the last `KEPT` that were used. Does not own: whether a document is valid (operation.ts).
 */
export interface Documents {
  /** the document of a request, or why there is none */
  resolve(
    request: { readonly query: string; readonly extensions?: Readonly<Record<string, unknown>> | null | undefined },
    admin: boolean,
  ): string | GraphQLError;
}
export type DocumentsMode = 'off' | 'apq' | 'trusted';

const KEPT = 2_000;
/** no longer ones are kept: they hold inline values and do not come again */
const KEPT_CHARS = 16 * 1024;

export const hashOfDocument = (text: string): string => createHash('sha256').update(text).digest('hex');
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** True when `extensions` names a document. */
export function namesDocument(extensions: unknown): boolean {
  return isObject(extensions) && isObject(extensions['persistedQuery']);
}

/** Reads the list of trusted documents: JSON, an array of documents or an object of which the values are documents. @throws Error naming the file */
export function readTrustedDocuments(file: string): readonly string[] {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const list = Array.isArray(parsed) ? parsed : isObject(parsed) ? Object.values(parsed) : [];
  if (list.length === 0 || !list.every((item): item is string => typeof item === 'string')) {
    throw new Error(`${file}: expected JSON, an array of GraphQL documents or an object of them`);
  }
  return list;
}

export function createDocuments(options: { readonly mode: DocumentsMode; readonly trusted?: readonly string[] }): Documents {
  const { mode } = options;
  const known = new Map<string, string>((options.trusted ?? []).map((text) => [hashOfDocument(text), text]));

  const keep = (hash: string, text: string): void => {
    known.delete(hash);
    known.set(hash, text);
    if (known.size <= KEPT) return;
    const oldest = known.keys().next().value;
    if (oldest !== undefined) known.delete(oldest);
  };
  const named = (hash: string): string | GraphQLError => {
    const text = known.get(hash);
    if (text === undefined) return requestError('PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound');
    if (mode === 'apq') keep(hash, text);
    return text;
  };
  const trusted = (text: string, admin: boolean): string | GraphQLError =>
    admin || known.has(hashOfDocument(text))
      ? text
      : requestError('DOCUMENT_NOT_TRUSTED', 'only documents on the list of this installation run here, but for keys with the scope ADMIN');

  return {
    resolve({ query, extensions }, admin) {
      const persisted = extensions?.['persistedQuery'];
      if (!isObject(persisted)) return mode === 'trusted' ? trusted(query, admin) : query;
      if (mode === 'off') {
        return query === '' ? requestError('PERSISTED_QUERY_NOT_SUPPORTED', 'PersistedQueryNotSupported') : query;
      }
      const hash = persisted['sha256Hash'];
      if (typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) {
        return requestError('BAD_REQUEST', 'extensions.persistedQuery.sha256Hash: expected 64 lower-case hex digits');
      }
      if (query === '') return named(hash);
      if (hashOfDocument(query) !== hash) return requestError('BAD_REQUEST', 'provided sha does not match query');
      if (mode === 'trusted') return trusted(query, admin);
      if (query.length <= KEPT_CHARS) keep(hash, query);
      return query;
    },
  };
}
