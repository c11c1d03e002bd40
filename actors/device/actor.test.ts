import { expect, it } from 'vitest';
import { seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { createTelemetry } from '../../ops/telemetry/index.ts';
import type { DeviceRow, IntentMessage } from '../../schema/sql/index.ts';
import { createFleetBreaker } from '../breaker/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import { createActor } from './actor.ts';
import type { ActorPorts } from './ports.ts';

/** Thousands of devices are taken over together: each one's first message goes before the backlog of the others (node/ledger.ts I3). */
it.each([
  { after: 'a takeover', reason: 'crash', answers: ['PACED', 'PASS', 'PASS'], wanted: ['a urgent', 'a urgent', 'b late'] },
  { after: 'a handover', reason: 'graceful', answers: ['PACED', 'PASS', 'PASS'], wanted: ['a urgent', 'a urgent', 'b usual'] },
  {
    after: 'a takeover without leave',
    reason: 'crash',
    answers: ['PACED', 'PACED', 'PACED', 'PACED', 'PASS', 'PASS'],
    wanted: ['a urgent', 'a urgent', 'a urgent', 'a usual', 'a usual', 'b late'],
  },
] as const)('says how urgent its intents are: $after', async ({ reason, answers: verdicts, wanted }) => {
  const asked: string[] = [];
  const answers = [new Error('postgres is away'), ...verdicts];
  const heads = ['a', 'b'].map((messageId, seq) => ({ lane: 1, seq, messageId, traceparent: '' }));
  const sent: string[] = [];
  const owned: OwnedDevice = {
    deviceId: 'd',
    partition: 0,
    epoch: 2,
    reason,
    signal: new AbortController().signal,
    canAct: () => true,
  };
  const ports: ActorPorts = {
    clock: systemClock,
    dice: seededDice(1),
    telemetry: createTelemetry({ service: 'test', instance: 't', level: 'error', samplePercent: 0, write: () => {} }),
    mailbox: {
      peek: async () => ({ kind: 'OK', behind: [], lanes: [[], heads.filter(({ messageId }) => !sent.includes(messageId)), []] }),
      ack: async () => {},
      up: async () => {},
    },
    ledger: {
      // the store is known to be away: it is asked again as soon as it is up
      open: false,
      up: async () => {},
      async intent({ messageId }, urgency) {
        asked.push(`${messageId} ${urgency}`);
        const answer = answers[asked.length - 1];
        if (answer instanceof Error) throw answer;
        if (answer === 'PACED') return { verdict: 'PACED', until: 0, now: 0 };
        return { verdict: 'PASS', message: { id: messageId, tenantId: 't', attempt: 1 } as IntentMessage };
      },
      result: async ({ messageId }) => ({ messageId, counted: true, state: 'SENT', tenantId: 't', attempt: 1 }),
    },
    host: { changed() {}, lost() {}, fenced() {}, refill() {}, stale() {}, paired() {}, failing() {}, news() {} },
  };
  const row = { id: 'd', tenantId: 't', paired: true, paused: false, quarantined: false, paceMinMs: 0, paceMaxMs: 0 } as DeviceRow;
  const actor = createActor(owned, row, ports, {
    node: 'n',
    retry: { budget: 6, baseMs: 1, capMs: 1 },
    pacing: 'off',
    sendTimeoutMs: 1000,
    unknownWaitMs: 1000,
    fleet: createFleetBreaker(() => {}),
  });
  actor.link('ONLINE', null);
  actor.attach({
    kind: 'simulator',
    resendsUnknown: true,
    async send({ id }) {
      sent.push(id);
      return { kind: 'sent', at: 1 };
    },
  });
  await expect.poll(() => sent, { timeout: 25_000 }).toEqual(['a', 'b']);
  actor.end('LOST');
  // the first one got no answer
  expect(asked).toEqual(['a urgent', ...wanted]);
});
