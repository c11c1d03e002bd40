import type { Page } from './context.ts';
import { argumentError } from './validate.ts';

export const PAGE_DEFAULT = 50;
export const PAGE_LIMIT = 500;

export interface PageArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

/** @throws GraphQLError INVALID_INPUT naming the argument */
export function limitOf(args: PageArgs): number {
  if (args.last !== undefined && args.last !== null) throw argumentError('INVALID_INPUT', 'last', 'page forward with first and after');
  if (args.before !== undefined && args.before !== null)
    throw argumentError('INVALID_INPUT', 'before', 'page forward with first and after');
  const first = args.first ?? PAGE_DEFAULT;
  if (first < 1 || first > PAGE_LIMIT) throw argumentError('INVALID_INPUT', 'first', `expected 1 to ${PAGE_LIMIT}, got ${first}`);
  return first;
}

export interface ConnectionShape<T> {
  readonly edges: { readonly cursor: string; readonly node: T }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

export function connectionOf<T>(page: Page<T>, cursorOf: (row: T) => string, args: PageArgs): ConnectionShape<T> {
  const edges = page.rows.map((node) => ({ cursor: cursorOf(node), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: page.more,
      hasPreviousPage: args.after !== undefined && args.after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: page.resumeAfter ?? edges.at(-1)?.cursor ?? null,
    },
  };
}

/** Cost of a list field for the operation limit: what is asked for, times the cost of one. */
export function listCost(args: PageArgs): { field: number; multiplier: number } {
  const first = args.first ?? PAGE_DEFAULT;
  return { field: 1, multiplier: Math.min(Math.max(1, first), PAGE_LIMIT) };
}
