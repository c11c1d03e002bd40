import { describe, expect, it } from 'vitest';
import type { AuditEntry } from '../../schema/sql/index.ts';
import { createAudit } from './audit.ts';
import { TENANT, testTelemetry, testViewer } from './testing.ts';

function setUp() {
  const timers: (() => void)[] = [];
  const written: AuditEntry[][] = [];
  let away = false;
  const clock = {
    wall: () => 1_000_000,
    monotonic: () => 0,
    sleep: () => Promise.resolve(),
    after(_ms: number, task: () => void) {
      timers.push(task);
      return () => {};
    },
  };
  const audit = createAudit(
    {
      write: async (entries) => {
        if (away) throw new Error('away');
        written.push([...entries]);
      },
      clock,
      telemetry: testTelemetry(),
    },
    { eachUpTo: 3 },
  );
  const tick = async (): Promise<void> => {
    for (const task of timers.splice(0)) task();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { audit, written, tick, isAway: (value: boolean) => (away = value) };
}
const viewer = testViewer();
const send = (audit: ReturnType<typeof createAudit>, id: string) => audit.note({ viewer, action: 'sendMessage', subject: id });

describe('the audit', () => {
  it('U1: a command is written when its note resolves, with who and in which tenant; a failure does not fail it', async () => {
    const { audit, written, isAway } = setUp();
    await audit.note({ viewer, action: 'pauseDevice', subject: 'd', detail: { a: 1 } });
    expect(written).toMatchObject([[{ tenantId: TENANT, apiKeyId: viewer.keyId, action: 'pauseDevice', subject: 'd', detail: { a: 1 } }]]);
    await audit.note({ viewer, tenantId: 'other', action: 'createTenant', subject: 'other' });
    expect(written[1]?.[0]?.tenantId).toBe('other');
    isAway(true);
    await audit.note({ viewer, action: 'pauseDevice', subject: 'd' });
  });

  it('U2: few sends are entries of their own, many are one with their count', async () => {
    const { audit, written, tick } = setUp();
    for (const id of ['a', 'b', 'c']) await send(audit, id);
    expect(written).toEqual([]);
    await tick();
    expect(written[0]?.map((entry) => entry.subject)).toEqual(['a', 'b', 'c']);
    for (let at = 0; at < 1000; at++) await send(audit, `m${at}`);
    await tick();
    expect(written[1]).toMatchObject([{ subject: null, detail: { count: 1000, firstMessageId: 'm0', lastMessageId: 'm999' } }]);
  });

  it('U2: what could not be written is written later, once', async () => {
    const { audit, written, tick, isAway } = setUp();
    isAway(true);
    await send(audit, 'a');
    await tick();
    await send(audit, 'b');
    isAway(false);
    await tick();
    expect(written.flat().map((entry) => entry.subject)).toEqual(['a', 'b']);
    await send(audit, 'c');
    await audit.close();
    expect(written.flat().map((entry) => entry.subject)).toEqual(['a', 'b', 'c']);
  });
});
