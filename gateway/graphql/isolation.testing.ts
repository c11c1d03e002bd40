import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';

/** Makes operations from a schema: every root field, every id argument filled with a given id, everything selected. For tests. */

export interface Words {
  /** goes into every text that may hold anything */
  readonly text: string;
  readonly phone: string;
  /** goes into every id; null = ids that are not required are left out */
  readonly id: string | null;
}

const MOST_DEPTH = 4;
/** not required where there are other ways to say it, and the way that is taken here */
const TEXTS: ReadonlySet<string> = new Set(['body', 'template']);

function scalar(type: string, name: string, words: Words, serial: number): unknown {
  switch (type) {
    case 'ID':
      return words.id;
    case 'Int':
      return name === 'first' ? 5 : 1;
    case 'Float':
      return 0;
    case 'Boolean':
      return true;
    case 'DateTime':
      return '2999-01-01T00:00:00Z';
    default:
      if (name === 'to' || name === 'phone') return words.phone;
      if (name === 'timeZone') return 'UTC';
      if (name === 'attributes') return JSON.stringify({ note: words.text });
      if (name === 'epoch') return 'e';
      if (/hour|^from$|^until$|time/i.test(name)) return '09:00';
      return `${words.text} ${serial}`;
  }
}

let serials = 0;
/** A value for an argument or input field; undefined = leave it out. */
function fill(given: GraphQLArgument | GraphQLInputField, words: Words): unknown {
  const make = (type: GraphQLInputType): unknown => {
    if (isNonNullType(type)) return make(type.ofType);
    if (isListType(type)) {
      const item = make(type.ofType);
      return item === undefined || item === null ? undefined : [item];
    }
    if (isEnumType(type)) return type.getValues()[0]?.name;
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields()).map((field) => [field.name, fill(field, words)] as const);
      return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
    }
    serials += 1;
    return scalar(type.name, given.name, words, serials);
  };
  const required = isNonNullType(given.type) && given.defaultValue === undefined;
  const named = getNamedType(given.type).name;
  // what is not required is left out, unless it names something or says where to begin
  if (!required && named !== 'ID' && named !== 'LivePosition' && given.name !== 'first' && !TEXTS.has(given.name)) return undefined;
  const value = make(given.type);
  return value === null ? undefined : value;
}

/** Every field of a type that needs no argument, to a depth; with a prefix, under names that do not collide with those of other types. */
export function selectionOf(type: GraphQLOutputType, depth = 0, seen: readonly string[] = [], prefix = ''): string {
  const named = getNamedType(type);
  if (isLeafType(named)) return '';
  if (isUnionType(named)) {
    return `{ __typename ${named
      .getTypes()
      .map((one) => `... on ${one.name} ${selectionOf(one, depth, seen, `${one.name}_`)}`)
      .join(' ')} }`;
  }
  if (!isObjectType(named) && !isInterfaceType(named)) return '';
  const below = isInterfaceType(named) && depth === 0 ? named : undefined;
  const fields = Object.values(named.getFields()).flatMap((field: GraphQLField<unknown, unknown>) => {
    if (field.args.some((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined)) return [];
    const inner = getNamedType(field.type);
    const name = prefix === '' ? field.name : `${prefix}${field.name}: ${field.name}`;
    if (isLeafType(inner)) return [name];
    if (depth >= MOST_DEPTH || seen.includes(inner.name)) return [];
    const selection = selectionOf(field.type, depth + 1, [...seen, inner.name]);
    return selection === '' || selection === '{  }' ? [] : [`${name} ${selection}`];
  });
  return below === undefined ? `{ ${fields.join(' ')} }` : `{ __typename ${fields.join(' ')} }`;
}

export interface Probe {
  readonly kind: 'query' | 'mutation' | 'subscription';
  readonly field: string;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/**
 * Operations for every root field: with all its id arguments, with each one that may be left out alone, and with none of those. `node` is asked
 * with a fragment for every type it may be.
 */
export function probesOf(schema: GraphQLSchema, words: Words): Probe[] {
  const roots = [
    ['query', schema.getQueryType()],
    ['mutation', schema.getMutationType()],
    ['subscription', schema.getSubscriptionType()],
  ] as const;
  return roots.flatMap(([kind, root]) =>
    Object.values(root?.getFields() ?? {}).flatMap((field): Probe[] => {
      const optional = field.args.filter((arg) => getNamedType(arg.type).name === 'ID' && !isNonNullType(arg.type)).map((arg) => arg.name);
      const without =
        optional.length === 0
          ? [[]]
          : [[], optional, ...(optional.length === 1 ? [] : optional.map((one) => optional.filter((name) => name !== one)))];
      return without.map((left) => makeProbe(schema, words, kind, field, left));
    }),
  );
}

function makeProbe(
  schema: GraphQLSchema,
  words: Words,
  kind: Probe['kind'],
  field: GraphQLField<unknown, unknown>,
  left: readonly string[],
): Probe {
  const given = field.args
    .filter((arg) => !left.includes(arg.name))
    .flatMap((arg) => {
      const value = fill(arg, words);
      return value === undefined ? [] : [{ arg, value }];
    });
  const declared = given.map(({ arg }) => `$${arg.name}: ${arg.type}`).join(', ');
  const passed = given.map(({ arg }) => `${arg.name}: $${arg.name}`).join(', ');
  const named = getNamedType(field.type);
  const fragments = isInterfaceType(named)
    ? schema
        .getPossibleTypes(named)
        .map((one) => `... on ${one.name} ${selectionOf(one, 0, [], `${one.name}_`)}`)
        .join(' ')
    : '';
  const selection = fragments === '' ? selectionOf(field.type) : `{ __typename ${fragments} }`;
  return {
    kind,
    field: field.name,
    query: `${kind} P${declared === '' ? '' : `(${declared})`} { ${field.name}${passed === '' ? '' : `(${passed})`} ${selection} }`,
    variables: Object.fromEntries(given.map(({ arg, value }) => [arg.name, value])),
  };
}
