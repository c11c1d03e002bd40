import { describe, expect, it } from 'vitest';
import type { FleetGate, FleetGateOptions } from './fleet-gate.ts';

/** What every gate keeps, whichever node asks. `open` gives one node's gate on a place of its own; `wait` lets time pass for it. */
export function fleetGateConformance(
  name: string,
  make: () => Promise<{
    nodes(options: FleetGateOptions): readonly [FleetGate, FleetGate];
    wait(ms: number): Promise<void>;
  }>,
): void {
  const OPTIONS: FleetGateOptions = { places: 2, placeLifeMs: 600_000, devices: 3, windowMs: 600_000, probeMs: 600_000 };
  const go = async (gate: FleetGate, id: string): Promise<boolean> => (await gate.ask(id)).go;

  describe(name, () => {
    it('gives so many places to all together, and one that is never given back is free after its life (G1)', async () => {
      const { nodes, wait } = await make();
      const [a, b] = nodes(OPTIONS);
      expect([await go(a, '1'), await go(b, '2'), await go(a, '3'), await go(b, '4')]).toEqual([true, true, false, false]);
      expect(await a.ask('3')).toMatchObject({ go: false, code: null });
      // who has a place keeps it
      expect(await go(a, '1')).toBe(true);
      await b.ended('2', null);
      const [short] = nodes({ ...OPTIONS, placeLifeMs: 1 });
      expect(await go(short, '3')).toBe(true);
      await wait(20);
      const [, again] = nodes(OPTIONS);
      expect([await go(again, '4'), await go(again, '5')]).toEqual([true, false]);
    });

    it('many refused alike hold all back, on every node; one tries at a time; a login lets all go (G2, G3)', async () => {
      const { nodes, wait } = await make();
      const [a, b] = nodes({ ...OPTIONS, probeMs: 1 });
      const refuse = async (gate: FleetGate, id: string, code: number): Promise<void> => {
        await gate.ask(id);
        await gate.ended(id, code);
      };
      await refuse(a, '1', 405);
      await refuse(a, '1', 405);
      await refuse(b, '2', 405);
      await refuse(b, '3', 401);
      // one device three times, and a refusal of its own, are no sign
      expect([await go(a, '8'), await go(b, '9')]).toEqual([true, true]);
      await a.ended('8', null);
      await b.ended('9', null);
      await refuse(b, '4', 405);
      await wait(20);
      const [c, d] = nodes(OPTIONS);
      expect(await go(d, '5')).toBe(true);
      expect(await c.ask('6')).toMatchObject({ go: false, code: 405 });
      // the probe is refused: nobody goes before the next one
      await d.ended('5', 405);
      expect(await d.ask('6')).toMatchObject({ go: false, code: 405 });
      await c.ended('5', 'opened');
      expect([await go(d, '7'), await go(c, '8'), await go(c, '9')]).toEqual([true, true, false]);
    });
  });
}
