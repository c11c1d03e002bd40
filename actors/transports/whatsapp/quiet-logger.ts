import type { SocketConfig } from '@whiskeysockets/baileys';
import type { Log } from '../../../ops/telemetry/index.ts';

type LibraryLogger = SocketConfig['logger'];

/**
 * Baileys' logger, from warnings up. Only the message text is passed on, with every longer run of digits masked: the objects
 * beside it hold JIDs, stanzas and sometimes keys.
 */
export function quietLogger(log: Log): LibraryLogger {
  const text = (first: unknown, second: unknown): string => {
    const message = typeof second === 'string' ? second : typeof first === 'string' ? first : '';
    return message.replace(/\d{5,}/g, '#').slice(0, 200);
  };
  const logger: LibraryLogger = {
    level: 'warn',
    child: () => logger,
    trace: () => {},
    debug: () => {},
    info: () => {},
    warn: (first, second) => log.debug('whatsapp.library', { level: 'warn', text: text(first, second) }),
    error: (first, second) => log.warn('whatsapp.library', { level: 'error', text: text(first, second) }),
  };
  return logger;
}
