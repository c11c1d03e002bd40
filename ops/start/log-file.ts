import { createWriteStream, mkdirSync, renameSync, statSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';

/** A log file that is set aside as `<name>.1` when it has grown to `maxBytes`; the one before is dropped. */
export interface LogFile {
  write(line: string): void;
  close(): Promise<void>;
}

export function openLogFile(path: string, maxBytes: number = 10 * 1024 * 1024): LogFile {
  mkdirSync(dirname(path), { recursive: true });
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const open = (): WriteStream => {
    const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
    // A full disk must not end the supervisor: the line is lost, the processes go on.
    stream.on('error', () => {});
    return stream;
  };
  let stream = open();
  return {
    write(line) {
      if (size > maxBytes) {
        stream.end();
        try {
          renameSync(path, `${path}.1`);
        } catch {
          // the file was taken away: a new one is made
        }
        stream = open();
        size = 0;
      }
      const text = `${line}\n`;
      size += Buffer.byteLength(text);
      stream.write(text);
    },
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}
