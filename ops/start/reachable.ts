import { connect } from 'node:net';

const WAIT_MS = 5_000;

/**
 * Waits until something listens at the address of a server that was given, so that a wrong one is said once and in one sentence.
 * @throws Error naming the variable, host and port (never the password)
 */
export async function reachable(variable: string, address: string, defaultPort: number): Promise<void> {
  const { hostname, port } = new URL(address);
  const where = `${hostname}:${port === '' ? defaultPort : port}`;
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? defaultPort : Number(port), timeout: WAIT_MS });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(`${variable}: nothing answers at ${where} (${why}): start that server, correct the address, or unset ${variable}`));
    };
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => fail(`no answer within ${WAIT_MS / 1000} s`));
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}
