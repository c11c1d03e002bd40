/** What a device's provider said of its account, as it is kept in the device's settings (`standing`). Times are wall ms. */
export interface ProviderStanding {
  /** nobody is written to who does not know the device before then */
  readonly coldUntil: number | null;
  /** REACHOUT_LOCKED (463), NEW_CHAT_CAP */
  readonly coldWhy: string | null;
  /** nothing is sent before then: the provider said slow down (429) */
  readonly heldUntil: number | null;
  readonly newChats: NewChats | null;
}
/** How many chats the account may start, as the provider counts it. */
export interface NewChats {
  readonly used: number | null;
  readonly total: number | null;
  /** wall ms; the end of the provider's cycle */
  readonly endsAt: number | null;
  /** the provider says that the quota is used up */
  readonly capped: boolean;
  /** wall ms at which it said so */
  readonly at: number;
}

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** Reads it out of a device's settings; what has passed is still there, compare with the clock. */
export function standingOf(settings: Readonly<Record<string, unknown>>): ProviderStanding {
  const { coldUntil, coldWhy, heldUntil, newChats } = (settings['standing'] ?? {}) as Readonly<Record<string, unknown>>;
  return {
    coldUntil: number(coldUntil),
    coldWhy: typeof coldWhy === 'string' ? coldWhy : null,
    heldUntil: number(heldUntil),
    newChats: typeof newChats === 'object' && newChats !== null ? (newChats as NewChats) : null,
  };
}
