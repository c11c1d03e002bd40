/** Types of lock.mjs, which is plain JavaScript because it also runs before anything is compiled. */
export function startTime(pid: number): string;
export function isAlive(pid: number, start: string): boolean;
export function tryLock(path: string): number | undefined;
export function withLock<T>(path: string, task: () => Promise<T>, options?: { readonly waiting?: (pid: number) => void }): Promise<T>;
