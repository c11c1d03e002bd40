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
}

export const PROFILES: Readonly<Record<string, Profile>> = {
  smoke: {
    scenario: 'smoke.ts',
    devices: 100,
    subscribers: 10,
    seconds: 30,
    messagesPerSecond: 50,
    senders: 20,
    socketsPerVu: 10,
    nodes: 2,
  },
};
