/** How many sockets of the node may be connecting at once; the rest wait their turn, so that a restart of a full node is no stampede. */
export interface ConnectSlots {
  /** resolves with the releaser (idempotent) once there is room */
  take(): Promise<() => void>;
}

export function createConnectSlots(most: number): ConnectSlots {
  let taken = 0;
  const queue: (() => void)[] = [];
  const releaser = (): (() => void) => {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      taken -= 1;
      queue.shift()?.();
    };
  };
  return {
    take() {
      return new Promise((resolve) => {
        const start = (): void => {
          taken += 1;
          resolve(releaser());
        };
        if (taken < most) start();
        else queue.push(start);
      });
    },
  };
}
