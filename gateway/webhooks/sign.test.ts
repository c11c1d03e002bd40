import { describe, expect, it } from 'vitest';
import { seededDice } from '../../ops/lifecycle/index.ts';
import { payloadOf, requestOf } from './payload.ts';
import { WEBHOOK_SENDER, webhookBackoffMs } from './sender.ts';
import { newWebhookSecret, signatureOf } from './sign.ts';

const event = {
  no: 7,
  type: 'message.sent' as const,
  messageId: '018f0000-0000-7000-8000-00000000aaaa',
  deviceId: '018f0000-0000-7000-8000-00000000bbbb',
  inboundId: null,
  detail: { state: 'SENT', attempts: 1 },
  at: Date.UTC(2026, 0, 2, 3, 4, 5),
  recipient: '+491701234567',
  step: 2,
  deviceName: 'd',
  sender: null,
  body: null,
  flow: { id: '018f0000-0000-7000-8000-00000000cccc', kind: 'SEQUENCE' as const, name: 'warm' },
};

describe('requests to webhooks', () => {
  /** the test vector of the Standard Webhooks libraries */
  it('are signed as the specification says, with each secret', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const body = '{"test": 2432232314}';
    const proof = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    expect(signatureOf([secret], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body)).toBe(proof);
    const both = signatureOf([newWebhookSecret(), secret], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body).split(' ');
    expect(both).toEqual([expect.stringMatching(/^v1,/), proof]);
  });

  it('say what happened with the ids of the API, alone or together, under an id that does not change', () => {
    expect(payloadOf(event)).toEqual({
      type: 'message.sent',
      timestamp: '2026-01-02T03:04:05.000Z',
      data: {
        id: 'evt_7',
        messageId: `Message:${event.messageId}`,
        to: '+491701234567',
        deviceId: `Device:${event.deviceId}`,
        device: 'd',
        sequenceId: `Sequence:${event.flow.id}`,
        sequence: 'warm',
        step: 2,
        state: 'SENT',
        attempts: 1,
      },
    });
    const [one, later] = [requestOf({ events: [event], batch: 1 }, 1), requestOf({ events: [event, { ...event, no: 9 }], batch: 50 }, 2)];
    expect([one.id, later.id]).toEqual(['evt_7', 'evts_7_2']);
    expect(JSON.parse(later.body)).toMatchObject({
      type: 'batch',
      data: { events: [{ data: { id: 'evt_7' } }, { data: { id: 'evt_9' } }] },
    });
  });

  it('wait longer after each failure, up to a quarter of an hour', () => {
    const waits = [0, 1, 2, 3, 4, 5, 50].map((failures) => webhookBackoffMs(failures, WEBHOOK_SENDER, { next: () => 0.5 }));
    expect(waits).toEqual([2000, 8000, 32_000, 128_000, 512_000, 900_000, 900_000]);
    const dice = seededDice(2);
    const spread = Array.from({ length: 500 }, () => webhookBackoffMs(0, WEBHOOK_SENDER, dice));
    expect(Math.min(...spread)).toBeGreaterThanOrEqual(1500);
    expect(Math.max(...spread)).toBeLessThanOrEqual(2500);
  });
});
