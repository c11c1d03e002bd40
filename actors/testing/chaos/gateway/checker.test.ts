import { describe, expect, it } from 'vitest';
import type { MessageEventRecord } from '../../../../schema/domain/index.ts';
import { createEventLog, createFleetWatch } from './checker.ts';

const event = (messageId: string, state: MessageEventRecord['state'], attempts = 1, deviceId = 'd'): MessageEventRecord => ({
  messageId,
  deviceId,
  state,
  attempts,
  cause: null,
  at: 0,
});

describe('events', () => {
  const log = createEventLog();
  const events = [
    event('a', 'QUEUED', 0),
    event('a', 'SENDING'),
    event('b', 'QUEUED', 0, 'other'),
    event('a', 'SENT'),
    event('a', 'SENT'),
    event('a', 'SENDING', 2),
    event('a', 'READ'),
  ];
  for (const [index, one] of events.entries()) log.add('e', index + 1, one);
  const judge = (received: number[], deviceId: string | null = null, seq = 0): unknown => {
    const { gaps, duplicates, foreign } = log.judge({ name: 'n', deviceId, start: { epoch: 'e', seq }, received });
    return { gaps, duplicates, foreign };
  };
  it('are right when everything new was given once, rising; repeats and late words may be left out or given', () => {
    expect(judge([1, 2, 3, 4, 7])).toEqual({ gaps: 0, duplicates: 0, foreign: 0 });
    expect(judge([1, 2, 3, 4, 5, 6, 7])).toEqual({ gaps: 0, duplicates: 0, foreign: 0 });
    expect(judge([1, 2, 4, 7], 'd')).toEqual({ gaps: 0, duplicates: 0, foreign: 0 });
    expect(judge([4, 7], null, 3)).toEqual({ gaps: 0, duplicates: 0, foreign: 0 });
  });
  it('show a gap, a duplicate, and what was not asked for', () => {
    expect(judge([1, 2, 3, 7])).toEqual({ gaps: 1, duplicates: 0, foreign: 0 });
    expect(judge([1, 2, 3, 4])).toEqual({ gaps: 1, duplicates: 0, foreign: 0 });
    expect(judge([1, 2, 2, 3, 4, 7])).toEqual({ gaps: 0, duplicates: 1, foreign: 0 });
    expect(judge([1, 2, 3, 4, 7, 4])).toEqual({ gaps: 0, duplicates: 1, foreign: 0 });
    expect(judge([3, 4, 7], null, 3)).toEqual({ gaps: 0, duplicates: 1, foreign: 0 });
    expect(judge([1, 2, 3, 4, 7], 'd')).toEqual({ gaps: 0, duplicates: 0, foreign: 1 });
    expect(judge([1, 2, 3, 4, 7, 9])).toEqual({ gaps: 0, duplicates: 0, foreign: 1 });
  });
});

describe('a fleet', () => {
  const given = (seq: number, from?: number, id = 'd', epoch = 'e') => ({
    epoch,
    seq,
    from,
    rows: new Map([[id, String(seq)]]),
    removed: [],
  });
  const findings = (...updates: ReturnType<typeof given>[]): unknown => {
    const watch = createFleetWatch('n');
    for (const update of updates) watch.apply(update);
    const { gaps, duplicates } = watch.findings();
    return [gaps, duplicates, [...watch.rows.keys()].join()];
  };
  it('joins: snapshots replace, deltas start where the last one ended', () => {
    expect(findings(given(5), given(7, 5, 'x'), given(7, 7), given(9, undefined, 'y'), given(1, undefined, 'z', 'f'))).toEqual([0, 0, 'z']);
  });
  it('shows a delta that starts beyond, before, or in another life, and a snapshot that goes back', () => {
    expect(findings(given(5), given(8, 6))).toEqual([1, 0, 'd']);
    expect(findings(given(1, 0))).toEqual([1, 0, 'd']);
    expect(findings(given(5), given(6, 5, 'd', 'f'))).toEqual([1, 0, 'd']);
    expect(findings(given(5), given(7, 4))).toEqual([0, 1, 'd']);
    expect(findings(given(5), given(4))).toEqual([0, 1, 'd']);
  });
});
