import { parseAst } from 'vite';

/**
 * The house rules that a machine can check, over a set of files given as path -> text. Pure: the test feeds it the checkout and, to prove
 * that each rule can fail, planted faults.
 */
export type Files = ReadonlyMap<string, string>;

const LINE_LIMIT = 400;
/** Rooms of ops that every folder may use. */
const OPEN_OPS = new Set(['ops/config', 'ops/telemetry', 'ops/connect', 'ops/lifecycle', 'ops/report']);
/** Rooms of ops for tests and for commands that start a stack of their own. */
const TEST_OPS = new Set(['ops/testing', 'ops/start']);
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  schema: ['schema'],
  actors: ['actors', 'schema'],
  gateway: ['gateway', 'actors', 'schema'],
  ops: ['ops'],
  loadtest: ['loadtest'],
};
/** Packages that only one room may import. Tests are free. */
const PACKAGE_HOME: Readonly<Record<string, string>> = {
  'uWebSockets.js': 'gateway/server',
  '@whiskeysockets/baileys': 'actors/transports/whatsapp',
  ioredis: 'ops/connect',
  postgres: 'ops/connect',
};
const CHANCE_AND_TIME = new Set(['setTimeout', 'setInterval']);
const CLOCK_MEMBERS = new Set(['Date.now', 'Math.random', 'performance.now']);

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}
interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

/** Calls `visit` for every node below, parents first. */
function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) for (const item of value) walk(item, visit);
  else if (isNode(value)) {
    visit(value);
    for (const child of Object.values(value)) if (typeof child === 'object') walk(child, visit);
  }
}

const literal = (value: unknown): string | undefined => {
  const text = isNode(value) ? value['value'] : undefined;
  return typeof text === 'string' ? text : undefined;
};
const identifier = (value: unknown): string | undefined =>
  isNode(value) && value.type === 'Identifier' ? String(value['name']) : undefined;

function importOf(node: Node): Import | undefined {
  const from = literal(node['source']);
  if (from === undefined) return undefined;
  if (node.type === 'TSImportType') return { from, typeOnly: true };
  if (!['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration', 'ImportExpression'].includes(node.type)) return undefined;
  const specifiers = Array.isArray(node['specifiers']) ? (node['specifiers'] as Node[]) : [];
  const kind = node['importKind'] ?? node['exportKind'];
  const eachType = specifiers.length > 0 && specifiers.every((one) => (one['importKind'] ?? one['exportKind']) === 'type');
  return { from, typeOnly: kind === 'type' || eachType };
}

/** The folder that has one door: `gateway/hub`, `actors/transports/link`, or the top folder for files that stand in it. */
export function roomOf(path: string): string {
  const parts = path.split('/').slice(0, -1);
  const depth = parts[0] === 'actors' && parts[1] === 'transports' ? 3 : 2;
  return parts.slice(0, depth).join('/');
}

/** Tests, and what stands beside them to help them (`testing-x.ts`, `x.testing.ts`, `test-world.ts`, `testing/`). */
const isTest = (path: string): boolean => /(^|[/.-])(test|itest|testing|conformance)([/.-])/.test(path);
const isBench = (path: string): boolean => /^loadtest\/(bench|fuzz)\//.test(path);

function resolvePath(from: string, target: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function packageName(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

function lawProblem(path: string, target: string): string | undefined {
  const [top = ''] = path.split('/');
  const [targetTop = ''] = target.split('/');
  const room = roomOf(target);
  const spared = isTest(path) || isBench(path) || top === 'loadtest';
  if (targetTop === 'ops' && top !== 'ops') {
    if (OPEN_OPS.has(room) || (TEST_OPS.has(room) && spared)) return undefined;
    return `${top} may not import ${room}`;
  }
  if (MAY_USE[top]?.includes(targetTop) === true) return undefined;
  if (isBench(path) || (path.startsWith('ops/testing/') && targetTop === 'schema')) return undefined;
  return `${top} may not import ${targetTop}`;
}

/** A room's door is index.ts; a port (port.ts) and types (types.ts, types only) may be taken past the door. */
function doorProblem(path: string, target: string, typeOnly: boolean): string | undefined {
  const room = roomOf(target);
  if (room === roomOf(path) || room.split('/').length < 2) return undefined;
  const inside = target.slice(room.length + 1);
  if (inside === 'index.ts' || inside.endsWith('port.ts') || (inside === 'types.ts' && typeOnly)) return undefined;
  if (isTest(target) && (isTest(path) || isBench(path))) return undefined;
  return `${target} is behind the door ${room}/index.ts`;
}

function importProblem(path: string, { from, typeOnly }: Import): string | undefined {
  if (from.startsWith('.')) {
    const target = resolvePath(path, from);
    return lawProblem(path, target) ?? doorProblem(path, target, typeOnly);
  }
  const home = PACKAGE_HOME[packageName(from)];
  if (home === undefined || isTest(path) || isBench(path) || roomOf(path) === home || typeOnly) return undefined;
  return `${packageName(from)} may only be imported in ${home}`;
}

function wordProblem(node: Node): string | undefined {
  if (node.type === 'CallExpression') {
    const callee = identifier(node['callee']);
    if (callee !== undefined && CHANCE_AND_TIME.has(callee)) return `${callee}: take the clock of ops/lifecycle`;
  }
  if (node.type !== 'MemberExpression') return undefined;
  const object = identifier(node['object']);
  if (object === 'console') return 'console: take the log of ops/telemetry';
  const member = `${object}.${identifier(node['property'])}`;
  return CLOCK_MEMBERS.has(member) ? `${member}: take the clock and dice of ops/lifecycle` : undefined;
}

function problemsOf(path: string, text: string): string[] {
  const found: string[] = [];
  const lines = text.split('\n').length - 1;
  if (lines > LINE_LIMIT && !/\.(test|itest)\.ts$/.test(path)) found.push(`${lines} lines, at most ${LINE_LIMIT}`);
  const marker = new RegExp(`\\b(${['TO', 'FIX', 'XX'].map((start, index) => start + ['DO', 'ME', 'X'][index]).join('|')})\\b`).exec(text);
  if (marker !== null) found.push(`marker ${marker[0]}: finish it or write an issue`);
  let tree: unknown;
  try {
    tree = parseAst(text, { lang: path.endsWith('.mjs') ? 'js' : 'ts' });
  } catch (error) {
    return [...found, `does not parse: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`];
  }
  const timeless = !path.startsWith('ops/lifecycle/') && !isTest(path) && path.endsWith('.ts');
  walk(tree, (node) => {
    const taken = importOf(node);
    const problem = taken === undefined ? undefined : importProblem(path, taken);
    if (problem !== undefined) found.push(problem);
    const word = timeless ? wordProblem(node) : undefined;
    if (word !== undefined) found.push(word);
    if (node.type === 'TSAnyKeyword' && !isTest(path)) found.push('any: say what it is, or unknown');
  });
  return found;
}

/** Every breach as `path: what`, in the order of the paths. */
export function breaches(files: Files): string[] {
  return [...files.keys()]
    .sort()
    .flatMap((path) => [...new Set(problemsOf(path, files.get(path) ?? ''))].map((what) => `${path}: ${what}`));
}
