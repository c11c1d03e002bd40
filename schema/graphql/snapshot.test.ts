import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isEnumType, isInputObjectType, isInterfaceType, isIntrospectionType, isObjectType, printSchema } from 'graphql';
import { describe, expect, it } from 'vitest';
import { buildSchema } from './index.ts';

const SNAPSHOT = fileURLToPath(new URL('../schema.graphql', import.meta.url));

describe('the schema', () => {
  const schema = buildSchema();

  it('is the committed snapshot (UPDATE_SNAPSHOT=1 writes it)', () => {
    const printed = `${printSchema(schema)}\n`;
    if (process.env['UPDATE_SNAPSHOT'] === '1') writeFileSync(SNAPSHOT, printed);
    expect(printed).toBe(readFileSync(SNAPSHOT, 'utf8'));
  });

  it('describes every type, field, argument and value', () => {
    const missing: string[] = [];
    const need = (name: string, described: { readonly description?: string | null | undefined }): void => {
      if (described.description === undefined || described.description === null || described.description === '') missing.push(name);
    };
    for (const type of Object.values(schema.getTypeMap())) {
      if (isIntrospectionType(type) || ['String', 'Int', 'Float', 'Boolean', 'ID'].includes(type.name)) continue;
      need(type.name, type);
      if (isEnumType(type)) for (const value of type.getValues()) need(`${type.name}.${value.name}`, value);
      if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) continue;
      for (const field of Object.values(type.getFields())) {
        need(`${type.name}.${field.name}`, field);
        if ('args' in field) for (const arg of field.args) need(`${type.name}.${field.name}(${arg.name})`, arg);
      }
    }
    expect(missing).toEqual([]);
  });

  it('has the fixed core that other programs use', () => {
    const text = printSchema(schema)
      .replace(/"""[\s\S]*?"""\n?/g, '')
      .replace(/^\s+/gm, '');
    for (const line of [
      'deviceId: ID!',
      'to: String!',
      'body: String',
      'lane: Lane = HIGH',
      'idempotencyKey: String',
      'scheduledAt: DateTime',
      'message: Message',
      'errors: [UserError!]!',
      'state: MessageState!',
      'attempts: Int!',
      'createdAt: DateTime!',
      'cause: String',
      'state: DeviceState!',
      'reason: String',
      'node: String',
      'epoch: Int!',
      'sendability: Sendability!',
      'devices: Int!',
      'connected: Int!',
      'states: [StateCount!]!',
      'backlog: Int!',
      'sentPerMinute: Float!',
      'failedPerMinute: Float!',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
  });

  it('every root field but `node` asks for a scope itself', () => {
    const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
    const open = roots.flatMap((root) =>
      Object.values(root?.getFields() ?? {})
        .filter((field) => (field.extensions['pothosOptions'] as { authScopes?: unknown } | undefined)?.authScopes === undefined)
        .map((field) => field.name),
    );
    expect(open).toEqual([]);
  });
});
