/** What a phone got, judged by what people would see. Pure. */
export interface Arrivals {
  /** messages that the phone has read, in the order of their coming */
  readonly arrived: readonly { readonly id: string; readonly text: string }[];
  /** messages it could not decrypt */
  readonly unreadable: readonly { readonly id: string }[];
  /** messages to the device that the device asked for again: it could not decrypt them */
  readonly askedAgain: number;
}

export interface ArrivalFigures {
  readonly arrived: number;
  /** texts that came more than once, under whatever id: every text is meant once */
  readonly doubled: number;
  /** on either side: a session that went back, or was lost, shows as a message that cannot be read */
  readonly ratchetRegressions: number;
}

export function judgeArrivals({ arrived, unreadable, askedAgain }: Arrivals): ArrivalFigures {
  const times = new Map<string, number>();
  for (const { text } of arrived) times.set(text, (times.get(text) ?? 0) + 1);
  return {
    arrived: arrived.length,
    doubled: [...times.values()].filter((many) => many > 1).length,
    ratchetRegressions: unreadable.length + askedAgain,
  };
}
