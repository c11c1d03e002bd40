import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../ops/lifecycle/index.ts';
import type { TransportDevice } from '../port.ts';
import type { Identities } from './identities.ts';
import { createNumberCheck } from './number-check.ts';

const HOUR = 3_600_000;
function world(settings: TransportDevice['settings'] = { checkNumbers: true }, byDefault = false) {
  const now = { ms: 0 };
  const known = new Map<string, { registered: boolean; at: number }>();
  const warm = new Set<string>();
  const asked: string[] = [];
  const clock: Clock = { ...systemClock, monotonic: () => now.ms };
  const identities = {
    registered: async (_tenant: string, phone: string) => {
      const found = known.get(phone);
      return found === undefined ? null : { registered: found.registered, ageMs: now.ms - found.at };
    },
    noteRegistered: async (_tenant: string, phone: string, registered: boolean) => void known.set(phone, { registered, at: now.ms }),
  } as unknown as Identities;
  const device = { id: 'd', tenantId: 't', settings } as unknown as TransportDevice;
  const check = createNumberCheck({ clock, identities, standing: { isWarm: async (_id, to) => warm.has(to) } }, device, {
    byDefault,
    perHour: 3,
    presentMs: 100 * HOUR,
    absentMs: 10 * HOUR,
  });
  const refusal = (to: string, answer: boolean | null = true) =>
    check.refusal(to, async () => {
      asked.push(to);
      return answer;
    });
  return { now, warm, asked, refusal };
}

describe('the check of a recipient', () => {
  it('is made only where it is asked for: by the device, else by the installation', async () => {
    expect(await world({}).refusal('+1', false)).toBeNull();
    expect(await world({ checkNumbers: false }, true).refusal('+1', false)).toBeNull();
    expect(await world({}, true).refusal('+1', false)).toMatchObject({ retry: false, code: 'NOT_ON_WHATSAPP' });
  });

  it('is answered from what is known until that is too old, sooner for who was not there; friends are not asked about (N1)', async () => {
    const { now, warm, asked, refusal } = world();
    warm.add('+9');
    expect([await refusal('+1'), await refusal('+1'), await refusal('+9')]).toEqual([null, null, null]);
    expect(await refusal('+2', false)).toMatchObject({ code: 'NOT_ON_WHATSAPP' });
    expect(await refusal('+2', true)).toMatchObject({ code: 'NOT_ON_WHATSAPP' });
    expect(asked).toEqual(['+1', '+2']);
    now.ms += 11 * HOUR;
    expect([await refusal('+1'), await refusal('+2', true)]).toEqual([null, null]);
    expect(asked).toEqual(['+1', '+2', '+2']);
  });

  it('waits when the hour is used up, and when WhatsApp does not say (N1, N2)', async () => {
    const { now, asked, refusal } = world();
    expect(await refusal('+1', null)).toMatchObject({ retry: true, code: 'NUMBER_CHECK_FAILED' });
    expect([await refusal('+2'), await refusal('+3')]).toEqual([null, null]);
    now.ms += HOUR / 2;
    expect(await refusal('+4')).toMatchObject({ retry: true, code: 'NUMBER_CHECK_LIMIT', retryAfterMs: HOUR / 2 });
    expect(asked).toHaveLength(3);
    now.ms += HOUR / 2;
    expect(await refusal('+4')).toBeNull();
  });
});
