import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../ops/lifecycle/index.ts';
import { createLiveness, type LivenessOptions } from './liveness.ts';

function world(more: Partial<LivenessOptions> = {}) {
  let now = 1_000_000;
  const probes: { answer(): void; fail(): void }[] = [];
  const liveness = createLiveness(
    { ...systemClock, monotonic: () => now },
    { silenceMs: 60_000, ackMs: 30_000, canaryMs: 0, canaryAnswerMs: 20_000, inboundMs: 600_000, inboundPeople: 3, stallMs: 5000, ...more },
  );
  const look = () => liveness.look(() => new Promise<void>((answer, fail) => probes.push({ answer, fail: () => fail(new Error('gone')) })));
  /** time goes by, a look each second, a frame with each; the first verdict, and when it came */
  const pass = (ms: number, frames = true): readonly [string, number] | null => {
    for (let at = 1000; at <= ms; at += 1000) {
      now += 1000;
      if (frames) liveness.frame();
      const dead = look();
      if (dead !== null) return [dead.reason, at];
    }
    return null;
  };
  liveness.opened();
  return {
    liveness,
    probes,
    look,
    pass,
    now: () => now,
    skip: (ms: number) => {
      now += ms;
    },
  };
}

describe('liveness by evidence', () => {
  it('a socket over which frames come is alive, for ever; without a login nothing is judged', () => {
    const { pass, liveness } = world();
    expect(pass(3_600_000)).toBeNull();
    liveness.closed();
    expect(pass(3_600_000, false)).toBeNull();
  });

  it('V1: one over which nothing comes is dead after a time', () => {
    expect(world().pass(120_000, false)).toEqual(['SILENT', 60_000]);
  });

  it('V2: one that acknowledges nothing is dead though frames come; an ack of anything shows that it lives', () => {
    const { pass, liveness, now, look } = world();
    const began = now();
    pass(10_000);
    liveness.unanswered(began);
    expect(pass(120_000)).toEqual(['NO_ACKS', 20_000]);
    expect(look()).toMatchObject({ frameAgeMs: 0, ackAgeMs: null });
    liveness.acknowledged();
    expect(pass(120_000)).toBeNull();
    // one message without an ack, while another that was tried later has got one: that message's own trouble
    const other = now();
    pass(1000);
    liveness.acknowledged();
    liveness.unanswered(other);
    expect(pass(120_000)).toBeNull();
  });

  it('V3: without a canary nobody asks; with one the silence about it is deadly, its answer is not, and a quiet hour has one each time', async () => {
    const without = world();
    without.pass(3_600_000);
    expect(without.probes).toHaveLength(0);

    const { pass, probes } = world({ canaryMs: 600_000 });
    expect(pass(599_000)).toBeNull();
    expect(probes).toHaveLength(0);
    expect(pass(10_000)).toBeNull();
    expect(probes).toHaveLength(1);
    probes[0]?.answer();
    await Promise.resolve();
    await Promise.resolve();
    expect(pass(599_000)).toBeNull();
    expect(probes).toHaveLength(1);
    expect(pass(60_000)).toEqual(['CANARY_UNANSWERED', 21_000]);
  });

  it('V3: acks are proof enough, no canary is asked; one that failed counts as not answered; a late answer of an older socket says nothing', async () => {
    const { pass, probes, liveness } = world({ canaryMs: 600_000 });
    for (let hours = 0; hours < 10; hours++) {
      pass(300_000);
      liveness.acknowledged();
    }
    expect(probes).toHaveLength(0);
    pass(601_000);
    probes[0]?.fail();
    await Promise.resolve();
    expect(pass(60_000)?.[0]).toBe('CANARY_UNANSWERED');
    liveness.closed();
    liveness.opened();
    pass(601_000);
    expect(probes).toHaveLength(2);
    liveness.closed();
    liveness.opened();
    probes[1]?.answer();
    await Promise.resolve();
    pass(601_000);
    expect(probes).toHaveLength(3);
  });

  it('V5: messages to enough people were taken and nothing came by itself: dead after a time; one receipt of any of them shows that it lives', () => {
    const { pass, liveness } = world();
    const send = (...people: string[]): void => {
      for (const to of people) liveness.acknowledged(to);
    };
    send('a', 'b', 'b', 'a');
    liveness.acknowledged();
    expect(pass(3_600_000)).toBeNull();
    send('c');
    pass(300_000);
    liveness.frame(true);
    expect(pass(3_600_000)).toBeNull();
    send('a', 'b', 'c');
    pass(300_000);
    // more of them change nothing
    send('d');
    expect(pass(3_600_000)).toEqual(['NOTHING_INBOUND', 300_000]);
  });

  it('V5: is said once until something comes, and never when it is switched off', () => {
    const { pass, liveness } = world();
    const again = () => {
      liveness.closed();
      liveness.opened();
      for (const to of ['a', 'b', 'c']) liveness.acknowledged(to);
      return pass(3_600_000)?.[0];
    };
    expect(again()).toBe('NOTHING_INBOUND');
    expect(again()).toBeUndefined();
    liveness.frame(true);
    expect(again()).toBe('NOTHING_INBOUND');

    const off = world({ inboundMs: 0 });
    for (const to of ['a', 'b', 'c']) off.liveness.acknowledged(to);
    expect(off.pass(3_600_000)).toBeNull();
  });

  it('V4: a process that stood still does not blame the server', () => {
    const { pass, skip, look, liveness, now } = world();
    liveness.unanswered(now());
    skip(600_000);
    expect(look()).toBeNull();
    expect(pass(120_000)).toEqual(['NO_ACKS', 30_000]);
    const deaf = world();
    for (const to of ['a', 'b', 'c']) deaf.liveness.acknowledged(to);
    deaf.skip(600_000);
    expect(deaf.look()).toBeNull();
    expect(deaf.pass(3_600_000)).toEqual(['NOTHING_INBOUND', 600_000]);
    const silent = world();
    silent.skip(600_000);
    expect(silent.pass(120_000, false)).toEqual(['SILENT', 61_000]);
  });
});
