import { describe, expect, it } from 'vitest';
import { ArgumentError, parseArguments } from './arguments.ts';

describe('the command line of npm start', () => {
  it('has defaults', () => {
    expect(parseArguments([])).toEqual({ devices: 300, nodes: 2, port: undefined, demo: true, quiet: false, help: false });
  });
  it('takes numbers behind a space or an equals sign', () => {
    const parsed = parseArguments(['--devices', '10', '--nodes=3', '--port', '0', '--no-demo', '--quiet']);
    expect(parsed).toEqual({ devices: 10, nodes: 3, port: 0, demo: false, quiet: true, help: false });
  });
  it.each([
    [['--device', '3'], 'unknown option --device'],
    [['3'], 'unknown option 3'],
    [['--quiet=yes'], 'unknown option --quiet=yes'],
    [['--nodes', '0'], '--nodes: expected a whole number from 1 to 64, got "0"'],
    [['--nodes', '1.5'], '--nodes: expected a whole number from 1 to 64, got "1.5"'],
    [['--devices', '-1'], '--devices: expected a whole number from 0 to 100000, got "-1"'],
    [['--port', '65536'], '--port: expected a whole number from 0 to 65535, got "65536"'],
    [['--port'], '--port: expected a whole number from 0 to 65535, got nothing'],
    [['--port='], '--port: expected a whole number from 0 to 65535, got nothing'],
  ])('refuses %j', (args, message) => {
    expect(() => parseArguments(args)).toThrow(ArgumentError);
    expect(() => parseArguments(args)).toThrow(message);
  });
});
