import { type Expression, parseLua, type Statement } from './lua-parse.ts';

/**
 * Runs the product's real Lua scripts: each is translated to a JavaScript function once (fast enough for thousands of simulated worlds),
 * so that the simulation runs the same text as the server. Conformance with the server: redis-conformance.itest.ts.
 */
export type LuaValue = string | number | boolean | undefined | LuaTable;

export class LuaTable {
  readonly list: LuaValue[];
  private names: Map<LuaValue, LuaValue> | undefined;
  constructor(list: LuaValue[]) {
    this.list = list;
  }
  get(key: LuaValue): LuaValue {
    if (typeof key === 'number') return this.list[key - 1];
    return this.names?.get(key);
  }
  set(key: LuaValue, value: LuaValue): void {
    if (typeof key !== 'number') {
      this.names ??= new Map();
      this.names.set(key, value);
    } else if (key >= 1 && key <= this.list.length + 1) this.list[key - 1] = value;
    else throw new RangeError(`Lua: a table has no place ${key}`);
  }
}

/** A command of `redis.call`; the list is the callee's to keep, numbers come as they are. A missing string is false, as in Redis. */
export type LuaCommand = (args: (string | number)[]) => LuaValue;
export type LuaRedis = Readonly<Record<string, LuaCommand>>;
/** A script may change the lists. */
export type LuaScript = (redis: LuaRedis, keys: string[], args: string[]) => LuaValue;

const text = (value: LuaValue): string => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw new TypeError(`Lua: cannot join ${value === undefined ? 'nil' : typeof value}`);
};
const number = (value: LuaValue): number => {
  const result = typeof value === 'number' ? value : typeof value === 'string' ? Number(value) : Number.NaN;
  if (Number.isNaN(result)) throw new TypeError(`Lua: cannot count with ${String(value)}`);
  return result;
};
const table = (value: LuaValue): LuaTable => {
  if (value instanceof LuaTable) return value;
  throw new TypeError(`Lua: cannot index ${value === undefined ? 'nil' : typeof value}`);
};
const length = (value: LuaValue): number => (typeof value === 'string' ? value.length : table(value).list.length);

/** The library functions that scripts use. */
const LIBRARY: Readonly<Record<string, (...args: LuaValue[]) => LuaValue>> = {
  tonumber(value) {
    if (typeof value === 'number') return value;
    if (typeof value !== 'string' || value.trim() === '') return undefined;
    const result = Number(value);
    return Number.isNaN(result) ? undefined : result;
  },
  tostring: (value) => (value === undefined ? 'nil' : String(value)),
  'math.floor': (value) => Math.floor(number(value)),
  'string.sub': (value, from, to) => {
    const subject = text(value);
    const end = to === undefined ? -1 : number(to);
    const start = number(from);
    return subject.slice(
      start > 0 ? start - 1 : start < 0 ? Math.max(0, subject.length + start) : 0,
      end < 0 ? subject.length + end + 1 : end,
    );
  },
  'string.find': (value, wanted, from, plain) => {
    if (plain !== true) throw new SyntaxError('Lua: only plain string.find');
    const at = text(value).indexOf(text(wanted), number(from) - 1);
    return at < 0 ? undefined : at + 1;
  },
  'string.format': (format, value) => {
    if (format !== '%.0f') throw new SyntaxError(`Lua: only %.0f, got ${String(format)}`);
    return number(value).toFixed(0);
  },
  'table.concat': (value, separator) =>
    table(value)
      .list.map(text)
      .join(separator === undefined ? '' : text(separator)),
};

const COMPARISONS: Readonly<Record<string, string>> = { '==': '===', '~=': '!==', '<': '<', '>': '>', '<=': '<=', '>=': '>=' };

/** Writes the JavaScript of one script. Every local gets a name of its own, so that Lua's shadowing is kept. */
function writer(): { program(body: readonly Statement[]): string } {
  let count = 0;
  let scopes: Map<string, string>[] = [new Map()];
  const declare = (name: string): string => {
    const unique = `${name}_${++count}`;
    (scopes.at(-1) as Map<string, string>).set(name, unique);
    return unique;
  };
  const known = (name: string): string | undefined => scopes.findLast((scope) => scope.has(name))?.get(name);

  const titleOf = (callee: Expression): string | undefined => {
    if (callee.kind === 'name') return callee.name;
    if (callee.kind !== 'index' || callee.of.kind !== 'name' || callee.at.kind !== 'literal') return undefined;
    return `${callee.of.name}.${String(callee.at.value)}`;
  };
  const call = (callee: Expression, args: readonly Expression[]): string => {
    const list = args.map(value).join(', ');
    const title = titleOf(callee);
    const local = callee.kind === 'name' ? known(callee.name) : undefined;
    if (local !== undefined) return `${local}(${list})`;
    if (title === 'redis.call' || title === 'redis.pcall') {
      const [command, ...rest] = args;
      if (command?.kind !== 'literal') throw new SyntaxError('Lua: the command of redis.call must be a literal');
      return `redis.${String(command.value).toUpperCase()}([${rest.map(value).join(', ')}])`;
    }
    if (title === undefined || LIBRARY[title] === undefined) throw new SyntaxError(`Lua: unknown function ${title ?? '?'}`);
    return `lib[${JSON.stringify(title)}](${list})`;
  };
  const counted = (expression: Expression): string => {
    const plain =
      (expression.kind === 'literal' && typeof expression.value === 'number') ||
      (expression.kind === 'binary' && '+-*/%^'.includes(expression.operator)) ||
      (expression.kind === 'unary' && expression.operator === '#');
    return plain ? value(expression) : `num(${value(expression)})`;
  };
  const binary = (operator: string, left: Expression, right: Expression): string => {
    if (operator === 'and') return `(truth(t = ${value(left)}) ? ${value(right)} : t)`;
    if (operator === 'or') return `either(${value(left)}, () => ${value(right)})`;
    const comparison = COMPARISONS[operator];
    if (comparison !== undefined) return `(${value(left)} ${comparison} ${value(right)})`;
    if (operator === '..') return `(text(${value(left)}) + text(${value(right)}))`;
    if (operator === '^') return `Math.pow(${counted(left)}, ${counted(right)})`;
    return `(${counted(left)} ${operator} ${counted(right)})`;
  };
  function value(expression: Expression): string {
    switch (expression.kind) {
      case 'literal':
        return expression.value === undefined ? 'undefined' : JSON.stringify(expression.value);
      case 'name':
        if (expression.name === 'KEYS' || expression.name === 'ARGV') return expression.name;
        return known(expression.name) ?? `lib_unknown_${expression.name}`;
      case 'index':
        return `tab(${value(expression.of)}).get(${value(expression.at)})`;
      case 'call':
        return call(expression.callee, expression.args);
      case 'unary':
        if (expression.operator === 'not') return `!${test(expression.operand)}`;
        return expression.operator === '#' ? `len(${value(expression.operand)})` : `(-${counted(expression.operand)})`;
      case 'binary':
        return binary(expression.operator, expression.left, expression.right);
      case 'table':
        return `new Table([${expression.items.map(value).join(', ')}])`;
    }
  }
  function test(expression: Expression): string {
    if (expression.kind === 'binary') {
      const { operator, left, right } = expression;
      if (operator === 'and' || operator === 'or') return `(${test(left)} ${operator === 'and' ? '&&' : '||'} ${test(right)})`;
      if (COMPARISONS[operator] !== undefined) return value(expression);
    }
    if (expression.kind === 'unary' && expression.operator === 'not') return value(expression);
    return `truth(${value(expression)})`;
  }
  const inner = (body: readonly Statement[], before: () => string = () => ''): string => {
    scopes = [...scopes, new Map()];
    const head = before();
    const code = `{ ${head}${body.map(statement).join('\n')} }`;
    scopes = scopes.slice(0, -1);
    return code;
  };
  const assign = (targets: readonly Expression[], values: readonly Expression[]): string => {
    const temporaries = values.map((given) => ({ name: `v_${++count}`, code: value(given) }));
    const head = temporaries.map((one) => `const ${one.name} = ${one.code};`).join(' ');
    const tail = targets.map((target, index) => {
      const from = temporaries[index]?.name ?? 'undefined';
      if (target.kind === 'index') return `tab(${value(target.of)}).set(${value(target.at)}, ${from});`;
      const local = target.kind === 'name' ? known(target.name) : undefined;
      if (local === undefined) throw new SyntaxError('Lua: assignment to a global');
      return `${local} = ${from};`;
    });
    return `${head} ${tail.join(' ')}`;
  };
  function statement(one: Statement): string {
    switch (one.kind) {
      case 'local': {
        const codes = one.values.map(value);
        return one.names.map((name, index) => `let ${declare(name)} = ${codes[index] ?? 'undefined'};`).join(' ');
      }
      case 'assign':
        return assign(one.targets, one.values);
      case 'call':
        return `${value(one.call)};`;
      case 'function': {
        const title = declare(one.name);
        let parameters: string[] = [];
        const code = inner(one.body, () => {
          parameters = one.parameters.map(declare);
          return 'let t; ';
        });
        return `const ${title} = (${parameters.join(', ')}) => ${code};`;
      }
      case 'if':
        return one.arms
          .map(({ test: condition, body }, index) => {
            const head = condition === undefined ? 'else ' : `${index === 0 ? '' : 'else '}if (${test(condition)}) `;
            return head + inner(body);
          })
          .join(' ');
      case 'while':
        return `while (${test(one.test)}) ${inner(one.body)}`;
      case 'for': {
        const [from, to] = [counted(one.from), counted(one.to)];
        const step = one.step === undefined ? '1' : counted(one.step);
        const [at, end, by] = [`i_${++count}`, `e_${++count}`, `s_${++count}`];
        const body = inner(one.body, () => `let ${declare(one.name)} = ${at}; `);
        return `for (let ${at} = ${from}, ${end} = ${to}, ${by} = ${step}; ${by} > 0 ? ${at} <= ${end} : ${at} >= ${end}; ${at} += ${by}) ${body}`;
      }
      case 'each': {
        const { list } = one;
        if (list.kind !== 'call' || titleOf(list.callee) !== 'ipairs') throw new SyntaxError('Lua: only "in ipairs(...)"');
        const [items, at] = [`l_${++count}`, `i_${++count}`];
        const source = list.args[0] === undefined ? 'undefined' : value(list.args[0]);
        const body = inner(one.body, () => {
          const places = [`${at} + 1`, `${items}[${at}]`];
          return one.names.map((name, index) => `let ${declare(name)} = ${places[index]}; `).join('');
        });
        return `{ const ${items} = tab(${source}).list; for (let ${at} = 0; ${at} < ${items}.length && ${items}[${at}] !== undefined; ${at}++) ${body} }`;
      }
      case 'return':
        return `return ${one.value === undefined ? 'undefined' : value(one.value)};`;
      case 'break':
        return 'break;';
    }
  }
  return { program: (body) => body.map(statement).join('\n') };
}

/** Translates one script. @throws SyntaxError for what this part of Lua does not have */
export function compileLua(lua: string): LuaScript {
  const code = `'use strict';\nlet t;\n${writer().program(parseLua(lua))}`;
  const truth = (value: LuaValue): boolean => value !== undefined && value !== false;
  const either = (left: LuaValue, right: () => LuaValue): LuaValue => (truth(left) ? left : right());
  const body = new Function('redis', 'KEYS', 'ARGV', 'lib', 'num', 'text', 'tab', 'len', 'truth', 'either', 'Table', code) as (
    ...args: unknown[]
  ) => LuaValue;
  return (redis, keys, args) =>
    body(redis, new LuaTable(keys), new LuaTable(args), LIBRARY, number, text, table, length, truth, either, LuaTable);
}
