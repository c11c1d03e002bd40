import { expect, it } from 'vitest';
import { runWhatsappPairing } from './whatsapp-pairing.ts';

/** The acceptance in its short form: one kill, and the times are told but not judged. */
it('pairs, sends, is stopped, restarts, moves, and survives a kill in the middle of a send', { timeout: 300_000 }, async () => {
  const told: string[] = [];
  const result = await runWhatsappPairing((text) => void told.push(text), { kills: 1, judgeTimes: false });
  expect(result.ok, told.join('')).toBe(true);
});
