import { type DocumentNode, Kind, type TypeNode } from 'graphql';
import type { Viewer } from '../../schema/graphql/index.ts';
import type { PreparedOperation } from './port.ts';

function namedType(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : namedType(type.type);
}

/** Variables that only say where a client stands: two clients at different places share one execution all the same. */
function cursorVariables(document: DocumentNode): ReadonlySet<string> {
  const names = new Set<string>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    for (const variable of definition.variableDefinitions ?? []) {
      if (namedType(variable.type) === 'LivePosition') names.add(variable.variable.name.value);
    }
  }
  return names;
}

/** JSON with sorted keys: equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    return `{${fields
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/**
 * What makes two operations the same execution. Scopes are part of it (an answer may depend on them), the key's own name is not: no
 * field below a subscription reads who asks.
 */
export function groupKey(operation: PreparedOperation, viewer: Viewer): string {
  const cursors = cursorVariables(operation.document);
  const variables = Object.fromEntries(Object.entries(operation.variables).filter(([name]) => !cursors.has(name)));
  return [operation.documentHash, operation.operationName ?? '', rightsOf(viewer), canonicalJson(variables)].join('\n');
}

/** What a viewer may see: equal texts may see the same. */
export function rightsOf(viewer: Viewer): string {
  return `${viewer.tenantId} ${[...viewer.scopes].sort().join('+')}${viewer.installation ? '!' : ''}`;
}
