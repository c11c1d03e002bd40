/** What a peer of ours has to offer so that the same faults can be played on it. One object per peer, no state of its own. */
export interface Job {
  readonly id: string;
  readonly device: string;
  readonly to: string;
}

export interface Addresses {
  readonly redisUrl: string;
  readonly databaseUrl: string;
}

export interface Producer {
  /** resolves when the peer has the job for certain. @throws Error when that is not known */
  add(job: Job): Promise<void>;
  /** jobs the peer still means to do */
  left(): Promise<number>;
  /** jobs the peer gave up for good */
  failed(): Promise<number>;
  close(): Promise<void>;
}

export interface Working {
  /** as its documentation says a worker should end */
  close(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** settings, in words: what is recommended, and where we differ */
  readonly settings: string;
  /** how long a dead or frozen worker's jobs are left alone, ms; null: longer than any run */
  readonly lockMs: number | null;
  /** the store that holds its jobs */
  readonly store: 'redis' | 'postgres';
  prepare(addresses: Addresses): Promise<void>;
  produce(addresses: Addresses): Promise<Producer>;
  /** @param worker its name @param send handles one job; a rejection is a failed attempt */
  work(addresses: Addresses, worker: string, send: (job: Job, attempt: number) => Promise<void>): Promise<Working>;
}
