/** Counts what is open per name (a key, a tenant, an address) against a limit; 0 = no limit. Owns the counts. */
export interface Crowd {
  /** false: the name has as many as it may have */
  enter(name: string): boolean;
  leave(name: string): void;
  count(name: string): number;
}

export function createCrowd(limit: number): Crowd {
  const counts = new Map<string, number>();
  return {
    enter(name) {
      const count = counts.get(name) ?? 0;
      if (limit !== 0 && count >= limit) return false;
      counts.set(name, count + 1);
      return true;
    },
    leave(name) {
      const count = counts.get(name) ?? 0;
      if (count > 1) counts.set(name, count - 1);
      else counts.delete(name);
    },
    count: (name) => counts.get(name) ?? 0,
  };
}
