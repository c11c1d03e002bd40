import { describe, expect, it } from 'vitest';
import { parseLine } from './app.ts';
import { addressBox, createTerminal, eventText, frame } from './terminal.ts';

function terminal(options: { isTTY?: boolean; quiet?: boolean } = {}) {
  let now = 0;
  let text = '';
  const output = {
    isTTY: options.isTTY ?? false,
    write(part: string) {
      text += part;
    },
  };
  const made = createTerminal(output, { quiet: options.quiet ?? false, now: () => now, clockText: () => '12:00:00' });
  return {
    ...made,
    text: () => text,
    pass(ms: number) {
      now += ms;
    },
  };
}
const warning = { type: 'log', name: 'node-1', level: 'warn', event: 'lease.lost', fields: { cause: 'late', nested: {} } } as const;

describe('the frame of addresses', () => {
  it('has lines of one width, however long an address is', () => {
    const lines = frame(['a', 'b'.repeat(60)]).split('\n');
    expect(new Set(lines.map((line) => line.length))).toEqual(new Set([64]));
  });
  it('says where everything is, and that the devices are simulated', () => {
    const text = addressBox({
      gateway: 'http://127.0.0.1:4000',
      nodes: [{ id: 'node-1', metricsUrl: 'http://127.0.0.1:5001' }],
      adminKey: 'flk_x',
      screenKey: 'flk_screen',
      keyFile: '/d/admin-key',
      devices: 300,
      demo: true,
      logDir: '/d/logs',
      tookMs: 4_200,
    });
    for (const part of ['4.2 s', '300 SIMULATED', ':4000/graphql', ':5001/metrics', 'flk_x', '/d/admin-key', 'Ctrl-C'])
      expect(text).toContain(part);
  });
});

describe('the terminal', () => {
  it('writes plain lines where there is no terminal', () => {
    const it_ = terminal();
    it_.event({ type: 'step', name: 'Redis', state: 'begun', tookMs: 0 });
    it_.event({ type: 'step', name: 'Redis', state: 'done', tookMs: 1_234 });
    expect(it_.text()).toBe('  ✓ Redis (1.2 s)\n');
  });
  it('completes the begun line on a terminal and never writes into it', () => {
    const it_ = terminal({ isTTY: true });
    it_.event({ type: 'step', name: 'Redis', state: 'begun', tookMs: 0 });
    it_.event({ type: 'note', text: 'fetching' });
    it_.event({ type: 'step', name: 'Redis', state: 'done', tookMs: 0 });
    expect(it_.text()).toBe('  … Redis\n  12:00:00 fetching\n  ✓ Redis (0.0 s)\n');
  });
  it('is silent about steps when quiet, never about problems', () => {
    const it_ = terminal({ quiet: true });
    it_.event({ type: 'step', name: 'Redis', state: 'done', tookMs: 0 });
    it_.event(warning);
    expect(it_.text()).toBe('  12:00:00 node-1: warning: lease.lost  cause=late\n');
  });
  it('holds back a flood of one event and counts it, other events pass', () => {
    const it_ = terminal();
    for (let count = 0; count < 50; count += 1) it_.event(warning);
    it_.event({ ...warning, event: 'other' });
    expect(it_.text().match(/lease\.lost/g)).toHaveLength(3);
    expect(it_.text()).toContain('other');
    it_.pass(11_000);
    it_.event(warning);
    expect(it_.text()).toContain('47 more like this');
  });
  it('says how a process ended and when it comes back', () => {
    const killed = eventText({ type: 'exited', name: 'node-1', exit: { code: null, signal: 'SIGKILL' }, restartInMs: 200 });
    expect(killed).toBe('node-1 was ended by SIGKILL; starting it again in 0.2 s');
    expect(eventText({ type: 'exited', name: 'node-1', exit: { code: 3, signal: null }, restartInMs: undefined })).toBe(
      'node-1 ended with code 3',
    );
  });
});

describe('log lines', () => {
  it('are read when they are JSON with an event, else left alone', () => {
    expect(parseLine('{"level":"warn","event":"x","at":"t","port":3}')).toEqual({ level: 'warn', event: 'x', fields: { port: 3 } });
    for (const line of ['plain', '{broken', '{"level":"warn"}', '']) expect(parseLine(line)).toBeUndefined();
  });
});
