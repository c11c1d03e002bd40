import { describe, expect, it } from 'vitest';
import { plainWords } from '../../schema/domain/index.ts';
import type { InboundItem } from '../../schema/sql/index.ts';
import { createOptOut, START_WORDS, STOP_WORDS, wishOf } from './index.ts';

const item = (body: string, change: Partial<InboundItem> = {}): InboundItem => ({
  deviceId: 'd',
  id: `in ${body}`,
  tenantId: 't',
  sender: '+4915120000001',
  senderLid: null,
  body,
  receivedAt: 7,
  media: null,
  ...change,
});

/** an opt-out whose statements write down what they were asked */
function watched(own: readonly { id: string; stop: string[]; start: string[] }[] = []) {
  const asked: unknown[] = [];
  const optOut = createOptOut(
    {
      loadOptWords: async (ids) => {
        asked.push(['words', ids]);
        return own.filter(({ id }) => ids.includes(id));
      },
      suppress: async (rows) => asked.push(['suppress', rows.map(({ tenantId, phone, lid, reason }) => [tenantId, phone, lid, reason])]),
      liftOptOuts: async (rows) => asked.push(['lift', rows]),
    },
    { wall: () => 1 },
  );
  return { asked, optOut };
}

describe('opt-out', () => {
  it('takes whole messages only, in several languages', () => {
    for (const body of ['STOP', ' stop! ', 'Unsubscribe.', 'Stop  all', 'Abmelden', 'ARRÊT', 'Стоп']) expect(wishOf(body)).toBe('STOP');
    for (const body of ['Start', 'UNSTOP', 'старт!', 'anmelden']) expect(wishOf(body)).toBe('START');
    for (const body of ['', 'do not stop', 'stop by on Monday', 'yes', 'let us start']) expect(wishOf(body)).toBe(null);
  });

  it('knows each word in the form that messages are compared in, and none that means both', () => {
    for (const word of [...STOP_WORDS, ...START_WORDS]) expect(plainWords(word)).toBe(word);
    expect([...STOP_WORDS].filter((word) => START_WORDS.has(word))).toEqual([]);
  });

  it('takes the words of a tenant beside the common ones; a common stop stays a stop', () => {
    const own = { stop: ['lass mich'], start: ['wieder da', 'stop'] };
    expect(['Lass mich!', 'wieder da', 'stop', 'start'].map((body) => wishOf(body, own))).toEqual(['STOP', 'START', 'STOP', 'START']);
  });

  it('suppresses number and LID of who says stop, lifts for who says start, by the words of each one’s tenant', async () => {
    const { asked, optOut } = watched([{ id: 'u', stop: ['basta'], start: [] }]);
    await optOut([item('Basta'), item('basta!', { tenantId: 'u', senderLid: '7@lid' }), item('start', { sender: '', senderLid: '8@lid' })]);
    expect(asked).toEqual([
      ['words', ['t', 'u']],
      [
        'suppress',
        [
          ['u', '+4915120000001', null, 'OPT_OUT'],
          ['u', null, '7@lid', 'OPT_OUT'],
        ],
      ],
      ['lift', [{ tenantId: 't', phone: null, lid: '8@lid', deviceId: 'd', id: 'in start', receivedAt: 7 }]],
    ]);
  });

  it('asks the ledger nothing about long messages and about those without words', async () => {
    const { asked, optOut } = watched();
    await optOut([item('x'.repeat(500)), item(''), item('👍')]);
    expect(asked).toEqual([]);
    await optOut([item('hello')]);
    expect(asked).toEqual([['words', ['t']]]);
  });
});
