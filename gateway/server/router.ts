/** Routes by exact path or by prefix ("/x/*"); pure. */
export interface Router<T> {
  add(method: string, path: string, value: T): void;
  /** `allowed` is not empty when the path exists under other methods only */
  find(method: string, path: string): { readonly value: T; readonly path: string } | { readonly allowed: readonly string[] };
}

export function createRouter<T>(): Router<T> {
  const exact = new Map<string, Map<string, T>>();
  const prefixes: { readonly prefix: string; readonly path: string; readonly methods: Map<string, T> }[] = [];
  const pick = (methods: Map<string, T>, method: string): T | undefined =>
    methods.get(method) ?? (method === 'HEAD' ? methods.get('GET') : undefined) ?? methods.get('ANY');
  return {
    add(method, path, value) {
      if (!path.endsWith('/*')) {
        const methods = exact.get(path) ?? new Map<string, T>();
        exact.set(path, methods.set(method, value));
        return;
      }
      const prefix = path.slice(0, -1);
      const known = prefixes.find((entry) => entry.prefix === prefix);
      if (known !== undefined) known.methods.set(method, value);
      else prefixes.push({ prefix, path, methods: new Map([[method, value]]) });
      prefixes.sort((a, b) => b.prefix.length - a.prefix.length);
    },
    find(method, path) {
      const allowed = new Set<string>();
      const exactly = exact.get(path);
      if (exactly !== undefined) {
        const value = pick(exactly, method);
        if (value !== undefined) return { value, path };
        for (const name of exactly.keys()) allowed.add(name);
      }
      for (const entry of prefixes) {
        if (!path.startsWith(entry.prefix)) continue;
        const value = pick(entry.methods, method);
        if (value !== undefined) return { value, path: entry.path };
        for (const name of entry.methods.keys()) allowed.add(name);
      }
      return { allowed: [...allowed] };
    },
  };
}
