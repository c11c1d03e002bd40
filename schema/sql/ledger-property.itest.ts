import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accept, adopt, cancel, intent, loadMessages, promoteDue, redrive, result } from './index.ts';
import { createWorld, hashOf, now, type World } from './test-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => {
  await world.drop();
});

const states = ['QUEUED', 'WRITTEN', 'UNKNOWN', 'FAILED', 'DEAD', 'SENT', 'DELIVERED', 'READ'] as const;
const step = fc.oneof(
  fc.record({
    kind: fc.constant('accept' as const),
    lane: fc.constantFrom('high' as const, 'normal' as const),
    key: fc.integer({ min: 0, max: 4 }),
    content: fc.integer({ min: 0, max: 1 }),
    later: fc.constantFrom(false, false, true),
  }),
  fc.record({ kind: fc.constant('intent' as const), pick: fc.nat(4), resend: fc.boolean(), budget: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    kind: fc.constant('result' as const),
    results: fc.array(
      fc.record({
        pick: fc.nat(4),
        state: fc.constantFrom(...states, 'FAILED', 'DEAD', 'FAILED', 'DEAD'),
        behind: fc.constantFrom(0, 0, 0, 1),
        stale: fc.constantFrom(false, false, false, true),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  }),
  fc.record({ kind: fc.constant('cancel' as const), pick: fc.nat(4) }),
  fc.record({ kind: fc.constant('redrive' as const), pick: fc.option(fc.nat(4), { freq: 1 }) }),
  fc.record({ kind: fc.constant('promote' as const) }),
  fc.record({ kind: fc.constant('takeover' as const) }),
);

it('keeps backlog = open messages, one message per key, dead letters = DEAD and FAILED, and unique seqs, whatever happens', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const [device = ''] = await world.devices(1);
      const tag = run++;
      const ids: string[] = [];
      const keys = new Map<number, { id: string; content: number }>();
      let epoch = await world.own(device);
      const at = (pick: number): string => ids[pick % Math.max(1, ids.length)] ?? '00000000-0000-7000-8000-000000000000';
      for (const one of steps) {
        switch (one.kind) {
          case 'accept': {
            const item = world.item(device, {
              lane: one.lane,
              idempotencyKey: one.key === 0 ? null : `${tag} ${one.key}`,
              contentHash: hashOf(String(one.content)),
              scheduledAt: one.later ? now() + 3_600_000 : null,
            });
            const [outcome] = await accept(world.sql, [item]);
            const earlier = one.key === 0 ? undefined : keys.get(one.key);
            if (earlier === undefined) {
              expect(outcome).toMatchObject({ kind: 'accepted', id: item.id });
              ids.push(item.id);
              if (one.key !== 0) keys.set(one.key, { id: item.id, content: one.content });
            } else if (earlier.content === one.content) expect(outcome).toEqual({ kind: 'replayed', id: earlier.id });
            else expect(outcome).toEqual({ kind: 'rejected', code: 'IDEMPOTENCY_KEY_REUSED' });
            break;
          }
          case 'intent':
            await intent(world.sql, [world.intentItem(device, epoch, at(one.pick), { resendUnknown: one.resend, budget: one.budget })]);
            break;
          case 'result': {
            const attempts = new Map((await loadMessages(world.sql, world.tenantId, ids)).map((message) => [message.id, message.attempts]));
            await result(
              world.sql,
              one.results.map(({ pick, state, behind, stale }) =>
                world.resultItem(device, stale ? epoch - 1 : epoch, at(pick), state, { attempt: (attempts.get(at(pick)) ?? 0) - behind }),
              ),
            );
            break;
          }
          case 'cancel':
            await cancel(world.sql, world.tenantId, at(one.pick));
            break;
          case 'redrive':
            await redrive(world.sql, world.tenantId, one.pick === null ? null : [at(one.pick)], 50);
            break;
          case 'promote':
            await world.sql.unsafe('update messages set due_at = now() where device_id = $1 and seq is null', [device]);
            await promoteDue(world.sql, 50);
            break;
          case 'takeover':
            epoch = await world.own(device, 'node-2', true);
            await adopt(world.sql, [{ deviceId: device, epoch }]);
            break;
        }
        expect(await world.backlog(device)).toBe(await world.open(device));
      }
      const [sums] = await world.sql.unsafe(
        `select count(*) filter (where (m.state in ('DEAD', 'FAILED')) <> (l.message_id is not null and l.redriven_at is null)) as letters,
           count(*) filter (where (m.ended_at is null) <> (m.state <= 'UNKNOWN')) as times,
           count(m.seq) - count(distinct (m.lane, m.seq)) filter (where m.seq is not null) as repeated
         from messages m left join dead_letters l on l.message_id = m.id where m.device_id = $1`,
        [device],
      );
      expect(sums).toEqual({ letters: 0, times: 0, repeated: 0 });
    }),
    { numRuns: 60 },
  );
}, 300_000);
