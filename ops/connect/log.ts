/** The part of telemetry's log that clients need. */
export interface ConnectLog {
  debug(event: string, fields?: Readonly<Record<string, string | number | boolean | null | undefined>>): void;
  warn(event: string, fields?: Readonly<Record<string, string | number | boolean | null | undefined>>, error?: unknown): void;
}
