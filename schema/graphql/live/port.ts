/** What the subscription fields need from the gateway's live hub. */
export type LiveStreams = Readonly<Record<never, never>>;
