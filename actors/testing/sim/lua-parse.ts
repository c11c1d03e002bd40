/**
 * Parses the part of Lua 5.1 that the product's scripts (and the `redlock` package's) are written in. Anything else is an error with its
 * line, so that a script which outgrows this is noticed at once and never run wrongly. Pure.
 */
export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | undefined }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'index'; readonly of: Expression; readonly at: Expression }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: readonly Expression[] }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'table'; readonly items: readonly Expression[] };

export type Statement =
  | { readonly kind: 'local'; readonly names: readonly string[]; readonly values: readonly Expression[] }
  | { readonly kind: 'assign'; readonly targets: readonly Expression[]; readonly values: readonly Expression[] }
  | { readonly kind: 'call'; readonly call: Expression }
  | { readonly kind: 'function'; readonly name: string; readonly parameters: readonly string[]; readonly body: readonly Statement[] }
  | { readonly kind: 'if'; readonly arms: readonly { readonly test: Expression | undefined; readonly body: readonly Statement[] }[] }
  | { readonly kind: 'while'; readonly test: Expression; readonly body: readonly Statement[] }
  | {
      readonly kind: 'for';
      readonly name: string;
      readonly from: Expression;
      readonly to: Expression;
      readonly step: Expression | undefined;
      readonly body: readonly Statement[];
    }
  | { readonly kind: 'each'; readonly names: readonly string[]; readonly list: Expression; readonly body: readonly Statement[] }
  | { readonly kind: 'return'; readonly value: Expression | undefined }
  | { readonly kind: 'break' };

interface Token {
  readonly type: 'name' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly line: number;
}

const KEYWORDS = new Set(
  'and break do else elseif end false for function if in local nil not or repeat return then true until while'.split(' '),
);
const TOKEN =
  /\s+|--[^\n]*|([A-Za-z_]\w*)|(\d+(?:\.\d+)?)|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|(\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}[\];,.])/y;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', '"': '"', "'": "'", '\\': '\\' };

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new SyntaxError(`Lua, line ${line}: cannot read "${text.slice(at, at + 20)}"`);
    const [whole, name, digits, double, single, symbol] = match;
    const quoted = double ?? single;
    if (name !== undefined) tokens.push({ type: KEYWORDS.has(name) ? 'symbol' : 'name', text: name, line });
    else if (digits !== undefined) tokens.push({ type: 'number', text: digits, line });
    else if (quoted !== undefined) {
      tokens.push({ type: 'string', text: quoted.replace(/\\(.)/g, (_all, one: string) => ESCAPES[one] ?? one), line });
    } else if (symbol !== undefined) tokens.push({ type: 'symbol', text: symbol, line });
    line += whole.split('\n').length - 1;
  }
  tokens.push({ type: 'end', text: 'end of script', line });
  return tokens;
}

/** left and right binding power; `..` and `^` bind to the right */
const POWERS: Readonly<Record<string, readonly [number, number]>> = {
  or: [1, 1],
  and: [2, 2],
  '<': [3, 3],
  '>': [3, 3],
  '<=': [3, 3],
  '>=': [3, 3],
  '~=': [3, 3],
  '==': [3, 3],
  '..': [5, 4],
  '+': [6, 6],
  '-': [6, 6],
  '*': [7, 7],
  '/': [7, 7],
  '%': [7, 7],
  '^': [10, 9],
};
const UNARY_POWER = 8;

/** @throws SyntaxError */
export function parseLua(text: string): readonly Statement[] {
  const tokens = tokenize(text);
  let place = 0;
  const peek = (): Token => tokens[place] as Token;
  const fail = (wanted: string): never => {
    throw new SyntaxError(`Lua, line ${peek().line}: expected ${wanted}, got "${peek().text}"`);
  };
  const sees = (symbol: string): boolean => peek().type === 'symbol' && peek().text === symbol;
  const accept = (symbol: string): boolean => {
    if (!sees(symbol)) return false;
    place += 1;
    return true;
  };
  const expect = (symbol: string): void => {
    if (!accept(symbol)) fail(`"${symbol}"`);
  };
  const name = (): string => {
    if (peek().type !== 'name') fail('a name');
    return (tokens[place++] as Token).text;
  };
  const list = <T>(item: () => T): T[] => {
    const items = [item()];
    while (accept(',')) items.push(item());
    return items;
  };

  const primary = (): Expression => {
    const token = peek();
    if (token.type === 'name') {
      place += 1;
      return { kind: 'name', name: token.text };
    }
    if (!accept('(')) return fail('an expression');
    const inner = expression(0);
    expect(')');
    return inner;
  };
  const suffixed = (): Expression => {
    let value = primary();
    for (;;) {
      if (accept('[')) {
        value = { kind: 'index', of: value, at: expression(0) };
        expect(']');
      } else if (accept('.')) {
        value = { kind: 'index', of: value, at: { kind: 'literal', value: name() } };
      } else if (accept('(')) {
        const args = sees(')') ? [] : list(() => expression(0));
        expect(')');
        value = { kind: 'call', callee: value, args };
      } else return value;
    }
  };
  const table = (): Expression => {
    const items: Expression[] = [];
    while (!accept('}')) {
      items.push(expression(0));
      if (!accept(',') && !sees('}')) fail('"," or "}"');
    }
    return { kind: 'table', items };
  };
  const simple = (): Expression => {
    const token = peek();
    if (token.type === 'number' || token.type === 'string') {
      place += 1;
      return { kind: 'literal', value: token.type === 'number' ? Number(token.text) : token.text };
    }
    if (accept('nil')) return { kind: 'literal', value: undefined };
    if (accept('true')) return { kind: 'literal', value: true };
    if (accept('false')) return { kind: 'literal', value: false };
    if (accept('{')) return table();
    for (const operator of ['not', '-', '#']) {
      if (accept(operator)) return { kind: 'unary', operator, operand: expression(UNARY_POWER) };
    }
    return suffixed();
  };
  function expression(limit: number): Expression {
    let left = simple();
    for (;;) {
      const operator = peek().text;
      const powers = peek().type === 'symbol' ? POWERS[operator] : undefined;
      if (powers === undefined || powers[0] <= limit) return left;
      place += 1;
      left = { kind: 'binary', operator, left, right: expression(powers[1]) };
    }
  }

  const block = (...ends: string[]): Statement[] => {
    const body: Statement[] = [];
    while (peek().type !== 'end' && !ends.some(sees)) body.push(statement());
    return body;
  };
  const closed = (): Statement[] => {
    const body = block('end');
    expect('end');
    return body;
  };
  const conditional = (): Statement => {
    const arms: { test: Expression | undefined; body: Statement[] }[] = [];
    do {
      const test = expression(0);
      expect('then');
      arms.push({ test, body: block('elseif', 'else', 'end') });
    } while (accept('elseif'));
    if (accept('else')) arms.push({ test: undefined, body: block('end') });
    expect('end');
    return { kind: 'if', arms };
  };
  const loop = (): Statement => {
    const names = list(name);
    if (accept('in')) {
      const values = expression(0);
      expect('do');
      return { kind: 'each', names, list: values, body: closed() };
    }
    expect('=');
    const from = expression(0);
    expect(',');
    const to = expression(0);
    const step = accept(',') ? expression(0) : undefined;
    expect('do');
    return { kind: 'for', name: names[0] ?? '_', from, to, step, body: closed() };
  };
  const local = (): Statement => {
    if (!accept('function')) {
      const names = list(name);
      return { kind: 'local', names, values: accept('=') ? list(() => expression(0)) : [] };
    }
    const title = name();
    expect('(');
    const parameters = sees(')') ? [] : list(name);
    expect(')');
    return { kind: 'function', name: title, parameters, body: closed() };
  };
  function statement(): Statement {
    if (accept('local')) return local();
    if (accept('if')) return conditional();
    if (accept('for')) return loop();
    if (accept('break')) return { kind: 'break' };
    if (accept('while')) {
      const test = expression(0);
      expect('do');
      return { kind: 'while', test, body: closed() };
    }
    if (accept('return')) {
      const nothing = peek().type === 'end' || sees('end') || sees('else') || sees('elseif');
      return { kind: 'return', value: nothing ? undefined : expression(0) };
    }
    const first: Expression = suffixed();
    if (first.kind === 'call') return { kind: 'call', call: first };
    const targets: Expression[] = [first];
    while (accept(',')) targets.push(suffixed());
    expect('=');
    return { kind: 'assign', targets, values: list(() => expression(0)) };
  }
  const body = block();
  if (peek().type !== 'end') fail('a statement');
  return body;
}
