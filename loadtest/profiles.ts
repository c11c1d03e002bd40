/** The load profiles of `npm run load -- <profile>`: data for one scenario file. */
export interface Profile {
  readonly scenario: string;
  readonly devices: number;
  readonly subscribers: number;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly senders: number;
  readonly socketsPerVu: number;
  readonly nodes: number;
  /** devices dial evenly over this long */
  readonly rampSeconds: number;
  /** all devices lose their sockets at once so long after the first message, and come back within `withinSeconds` */
  readonly storm?: { readonly atSecond: number; readonly withinSeconds: number };
}

export const PROFILES: Readonly<Record<string, Profile>> = {
  smoke: {
    scenario: 'fleet.ts',
    devices: 100,
    subscribers: 10,
    seconds: 30,
    messagesPerSecond: 50,
    senders: 20,
    socketsPerVu: 10,
    nodes: 2,
    rampSeconds: 1,
  },
  fleet: {
    scenario: 'fleet.ts',
    devices: 3000,
    subscribers: 10,
    seconds: 40,
    messagesPerSecond: 200,
    senders: 60,
    socketsPerVu: 75,
    nodes: 2,
    rampSeconds: 10,
    storm: { atSecond: 20, withinSeconds: 5 },
  },
};
