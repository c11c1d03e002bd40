import type { Dice } from '../../ops/lifecycle/index.ts';
import type { Api } from '../api.ts';

/** One kind of input of `npm run fuzz`. */
export interface FuzzPart {
  readonly name: string;
  /** share of all inputs, weighed against the other parts */
  readonly weight: number;
  /** no more than this, however many are asked for: inputs that take time by their nature */
  readonly most?: number;
  /** so many first: what the gateway holds after them is what it needs, what comes later is growth; default 20,000, or a tenth of all */
  readonly settling?: number;
  run(world: FuzzWorld, inputs: number): Promise<FuzzReport>;
}
export interface FuzzWorld {
  readonly api: Api;
  /** the same seed makes the same inputs */
  readonly dice: Dice;
  say(line: string): void;
}
export interface FuzzReport {
  readonly inputs: number;
  /** how often each answer came */
  readonly answers: Readonly<Record<string, number>>;
  /** answers that were not the right ones, in words; the input stands in them */
  readonly faults: readonly string[];
}
