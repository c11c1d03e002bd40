import type { Dice } from '../../../../ops/lifecycle/index.ts';
import type { FaultAsk } from '../wire.ts';

/** The faults that were asked for and have not been used up. */
export interface Faults {
  ask(fault: FaultAsk): void;
  clear(): void;
  /** the fault that strikes this send of the device, if any; uses up its count */
  onSend(device: string): FaultAsk | undefined;
  /** does the device stay unanswered when it is opened? */
  onOpen(device: string): boolean;
}

export function createFaults(dice: Dice): Faults {
  let asked: { readonly fault: FaultAsk; left: number }[] = [];
  const strike = (device: string, wanted: (fault: FaultAsk) => boolean): FaultAsk | undefined => {
    for (const entry of asked) {
      const { fault } = entry;
      if (!wanted(fault) || (fault.device !== undefined && fault.device !== null && fault.device !== device)) continue;
      if (fault.rate !== undefined && dice.next() >= fault.rate) continue;
      entry.left -= 1;
      if (entry.left <= 0) asked = asked.filter((other) => other !== entry);
      return fault;
    }
    return undefined;
  };
  return {
    ask(fault) {
      asked.push({ fault, left: fault.count ?? Number.POSITIVE_INFINITY });
    },
    clear() {
      asked = [];
    },
    onSend: (device) => (asked.length === 0 ? undefined : strike(device, (fault) => fault.kind !== 'never-connect')),
    onOpen: (device) => asked.length > 0 && strike(device, (fault) => fault.kind === 'never-connect') !== undefined,
  };
}
