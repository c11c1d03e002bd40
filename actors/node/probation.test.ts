import { describe, expect, it } from 'vitest';
import type { IntentItem, ResultItem } from '../../schema/sql/index.ts';
import type { ActorLedger, Leave } from '../device/index.ts';
import type { OwnedDevice } from '../lease/port.ts';
import { createProbation } from './probation.ts';

const LIMIT_MS = 30_000;

function stage() {
  const clock = { now: 0, monotonic: () => clock.now, wall: () => clock.now, after: () => () => {}, sleep: async () => {} };
  const asked: string[] = [];
  const answers = { intent: 'PASS', fails: false };
  const ledger: ActorLedger = {
    intent: async ({ deviceId }) => {
      if (answers.fails) throw new Error('no answer');
      asked.push(deviceId);
      return { verdict: answers.intent } as Leave;
    },
    result: async ({ messageId }) => ({ messageId, counted: true, state: 'SENT', tenantId: 't', attempt: 1 }),
    open: true,
    up: async () => {},
  };
  const probation = createProbation({ clock, ledger }, { limitMs: LIMIT_MS, calmMs: 1000 });
  return {
    clock,
    asked,
    answers,
    probation,
    /** gives what ends that ownership */
    own(deviceId: string, crashes: number, epoch = 5): () => void {
      const controller = new AbortController();
      const owned: OwnedDevice = { deviceId, partition: 0, epoch, reason: 'crash', crashes, signal: controller.signal, canAct: () => true };
      probation.add(owned);
      return () => controller.abort('EXPIRED');
    },
    intent: async (deviceId: string, epoch = 5) => probation.ledger.intent({ deviceId, epoch } as IntentItem, 'usual'),
    result: async (deviceId: string, state: ResultItem['state'] = 'SENT') =>
      probation.ledger.result({ deviceId, epoch: 5, messageId: 'm', state } as ResultItem),
  };
}
const waits = (leave: Leave): number => (leave.verdict === 'PROBATION' ? leave.until - leave.now : 0);

describe('probation', () => {
  it('lets one suspect at a time into a turn, and holds up nobody else', async () => {
    const s = stage();
    for (const id of ['a', 'b', 'c']) s.own(id, 2);
    s.own('once', 1);
    expect(s.probation.suspects).toBe(3);
    s.clock.now = 1000;
    expect((await s.intent('a')).verdict).toBe('PASS');
    expect(waits(await s.intent('b'))).toBeGreaterThan(0);
    expect(waits(await s.intent('c'))).toBeGreaterThan(waits(await s.intent('b')) / 2);
    for (const id of ['once', 'other']) expect((await s.intent(id)).verdict).toBe('PASS');
    await s.result('a');
    expect((await s.intent('b')).verdict).toBe('PASS');
    expect(s.asked).toEqual(['a', 'once', 'other', 'b']);
  });
  it('begins when the suspect has been owned for a while: who kills nodes from outside kills again before', async () => {
    const s = stage();
    s.own('a', 2);
    s.clock.now = 400;
    expect(waits(await s.intent('a'))).toBe(600);
    expect(s.asked).toEqual([]);
    s.clock.now = 1000;
    expect((await s.intent('a')).verdict).toBe('PASS');
  });
  it('clears a device with a completed turn, not with one whose outcome is open', async () => {
    const s = stage();
    for (const id of ['a', 'b']) s.own(id, 2);
    s.clock.now = 1000;
    await s.intent('a');
    await s.result('a', 'UNKNOWN');
    expect(s.probation.suspects).toBe(2);
    await s.intent('b');
    await s.result('b', 'QUEUED');
    expect(s.probation.suspects).toBe(1);
  });
  it('keeps the place for nobody who has no leave, whose ledger failed, whose ownership ended or whose turn does not end', async () => {
    const s = stage();
    for (const id of ['a', 'b', 'd', 'e']) s.own(id, 2);
    const lose = s.own('c', 2);
    s.clock.now = 1000;
    s.answers.intent = 'PACED';
    expect((await s.intent('a')).verdict).toBe('PACED');
    s.answers.fails = true;
    await expect(s.intent('b')).rejects.toThrow('no answer');
    s.answers.fails = false;
    s.answers.intent = 'PASS';
    expect((await s.intent('c')).verdict).toBe('PASS');
    lose();
    expect((await s.intent('d')).verdict).toBe('PASS');
    // its own next intent finds the place its own (a turn that threw between intent and result)
    expect((await s.intent('d')).verdict).toBe('PASS');
    expect((await s.intent('e')).verdict).toBe('PROBATION');
    s.clock.now += LIMIT_MS;
    expect((await s.intent('e')).verdict).toBe('PASS');
  });
  it('a new ownership is a new suspicion, and the end of the old one does not touch it', async () => {
    const s = stage();
    const loseOld = s.own('a', 2, 5);
    s.own('a', 2, 6);
    s.own('b', 2);
    s.clock.now = 1000;
    expect((await s.intent('a', 6)).verdict).toBe('PASS');
    loseOld();
    expect((await s.intent('b')).verdict).toBe('PROBATION');
  });
  it('lets a thousand suspects through one by one, asking each a few times', async () => {
    const s = stage();
    const TURN_MS = 8;
    const at = new Map<string, number>();
    for (let n = 0; n < 1000; n++) {
      s.own(`${n}`, 2);
      at.set(`${n}`, 1000);
    }
    let questions = 0;
    let under: { id: string; until: number } | undefined;
    while (at.size > 0) {
      const [id, due] = [...at].reduce((first, one) => (one[1] < first[1] ? one : first));
      if (under !== undefined && under.until <= due) {
        s.clock.now = under.until;
        await s.result(under.id);
        under = undefined;
      }
      s.clock.now = Math.max(s.clock.now, due);
      questions += 1;
      const leave = await s.intent(id);
      if (leave.verdict === 'PASS') {
        at.delete(id);
        under = { id, until: s.clock.now + TURN_MS };
      } else at.set(id, s.clock.now + Math.max(100, waits(leave)));
    }
    expect(s.clock.now).toBeLessThan(20_000);
    expect(questions).toBeLessThan(5000);
  });
});
