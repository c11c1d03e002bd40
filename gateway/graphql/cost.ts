import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getArgumentValues,
  getNamedType,
  isInterfaceType,
  isObjectType,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** What an operation asks for, before it is run. */
export interface OperationSize {
  depth: number;
  introspectionDepth: number;
  aliases: number;
  directives: number;
  cost: number;
}

type Complexity = number | { readonly field?: number; readonly multiplier?: number };

/** The cost a field declares (pothos complexity plugin) for the arguments at hand. */
function complexityOf(field: GraphQLField<unknown, unknown>, args: () => Record<string, unknown>): { field: number; multiplier: number } {
  let declared = field.extensions['complexity'] as Complexity | ((args: Record<string, unknown>) => Complexity) | undefined;
  if (typeof declared === 'function') {
    let given: Record<string, unknown> = {};
    try {
      given = args();
    } catch {
      // a missing or wrong variable: execution will say so, the default size stands in
    }
    declared = declared(given);
  }
  if (typeof declared === 'number') return { field: declared, multiplier: 1 };
  return { field: declared?.field ?? 1, multiplier: declared?.multiplier ?? 1 };
}

/**
 * Measures one operation of a document that has passed validation (so fragments do not recurse). Stops early once `stopAt` is passed,
 * because fragments can make a short document enormous.
 */
export function measureOperation(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
  stopAt: { readonly cost: number; readonly aliases: number },
): OperationSize {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === 'FragmentDefinition') fragments.set(definition.name.value, definition);
  }
  const size: OperationSize = { depth: 0, introspectionDepth: 0, aliases: 0, directives: operation.directives?.length ?? 0, cost: 0 };
  const root = schema.getRootType(operation.operation);

  const walk = (set: SelectionSetNode, type: GraphQLNamedType | undefined, depth: number, introspection: number): number => {
    let cost = 0;
    for (const selection of set.selections) {
      if (cost > stopAt.cost || size.aliases > stopAt.aliases) return cost;
      size.directives += selection.directives?.length ?? 0;
      if (selection.kind === 'FragmentSpread') {
        const fragment = fragments.get(selection.name.value);
        if (fragment !== undefined)
          cost += walk(fragment.selectionSet, schema.getType(fragment.typeCondition.name.value), depth, introspection);
        continue;
      }
      if (selection.kind === 'InlineFragment') {
        const name = selection.typeCondition?.name.value;
        cost += walk(selection.selectionSet, name === undefined ? type : schema.getType(name), depth, introspection);
        continue;
      }
      if (selection.alias !== undefined) size.aliases += 1;
      const name = selection.name.value;
      const inside = introspection > 0 || name === '__schema' || name === '__type';
      if (inside) {
        size.introspectionDepth = Math.max(size.introspectionDepth, introspection + 1);
        if (selection.selectionSet !== undefined) walk(selection.selectionSet, undefined, depth, introspection + 1);
        cost += 1;
        continue;
      }
      size.depth = Math.max(size.depth, depth);
      const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined;
      if (field === undefined) {
        if (selection.selectionSet !== undefined) cost += walk(selection.selectionSet, undefined, depth + 1, 0);
        continue;
      }
      const own = complexityOf(field, () => getArgumentValues(field, selection, variables as Record<string, unknown>));
      const below = selection.selectionSet === undefined ? 0 : walk(selection.selectionSet, getNamedType(field.type), depth + 1, 0);
      cost += own.field + own.multiplier * below;
    }
    return cost;
  };
  size.cost = walk(operation.selectionSet, root ?? undefined, 1, 0);
  return size;
}
