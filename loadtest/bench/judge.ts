import type { Arrival } from '../../actors/transports/simulator/index.ts';

/** A message of a bench. */
export interface Message {
  readonly id: string;
  readonly device: string;
}

/** What the phones saw of a run. A right run has 0 everywhere but in `arrived`. */
export interface Judgement {
  /** distinct messages at their own phone */
  readonly arrived: number;
  readonly lost: number;
  /** arrivals beyond the first, those that the phone dropped as repeats too: nothing failed, so nothing may be sent again */
  readonly doubled: number;
  /** arrivals after a later message of their device */
  readonly disordered: number;
  /** arrivals of ids that nobody made, or at another phone */
  readonly unexpected: number;
}

/**
 * Judges a run by what the phones recorded. Pure; linear in time.
 * @param messages in the order in which they were accepted: within a device that order is to be kept
 * @param arrivals in the order of the phones' file
 */
export async function judge(
  messages: readonly Message[],
  arrivals: Iterable<Pick<Arrival, 'id' | 'device'>> | AsyncIterable<Pick<Arrival, 'id' | 'device'>>,
): Promise<Judgement> {
  const places = new Map(messages.map(({ id, device }, place) => [id, { device, place }]));
  const seen = new Set<string>();
  const reached = new Map<string, number>();
  const counts = { doubled: 0, disordered: 0, unexpected: 0 };
  for await (const { id, device } of arrivals) {
    const meant = places.get(id);
    if (meant === undefined || meant.device !== device) counts.unexpected += 1;
    else if (seen.has(id)) counts.doubled += 1;
    else {
      seen.add(id);
      if (meant.place < (reached.get(device) ?? -1)) counts.disordered += 1;
      else reached.set(device, meant.place);
    }
  }
  return { arrived: seen.size, lost: messages.length - seen.size, ...counts };
}

/** True when every message came once and in order. */
export function faultless({ lost, doubled, disordered, unexpected }: Judgement): boolean {
  return lost + doubled + disordered + unexpected === 0;
}
