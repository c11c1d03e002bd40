import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { uuidV7 } from '../../schema/domain/index.ts';
import type { AuditPort } from '../../schema/graphql/index.ts';
import type { AuditEntry } from '../../schema/sql/index.ts';

/**
 * Writes down who did what.
 * Owns: sends not yet written down. Does not own: the table. Called by the mutations.
 * U1 An entry of a command is written before the mutation answers; if that fails the mutation stands and the log says so.
 * U2 Sends are gathered per key and written together: up to `eachUpTo` in one flush as entries of their own, more as one entry with their count.
 *    So 10,000 sends a second cost a few rows. What could not be written is tried again; a process that is killed loses a flush's worth.
 */
export interface Audit {
  readonly note: AuditPort;
  /** writes what is gathered */
  close(): Promise<void>;
}
export interface AuditDeps {
  readonly write: (entries: readonly AuditEntry[]) => Promise<void>;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'log'>;
}

interface Sends {
  readonly tenantId: string;
  readonly keyId: string;
  /** the first of them, at most `eachUpTo` + 1 */
  readonly ids: string[];
  last: string;
  count: number;
}

const SEND = 'sendMessage';

export function createAudit(deps: AuditDeps, options: { readonly flushMs?: number; readonly eachUpTo?: number } = {}): Audit {
  const { clock, telemetry } = deps;
  const flushMs = options.flushMs ?? 250;
  const eachUpTo = options.eachUpTo ?? 20;
  let gathered = new Map<string, Sends>();
  let armed = false;
  let closed = false;

  const gather = (tenantId: string, keyId: string, ids: readonly string[], last: string, count: number): void => {
    const key = `${tenantId} ${keyId}`;
    const sends = gathered.get(key) ?? { tenantId, keyId, ids: [], last, count: 0 };
    for (const id of ids) if (sends.ids.length <= eachUpTo) sends.ids.push(id);
    sends.last = last;
    sends.count += count;
    gathered.set(key, sends);
  };
  const entriesOf = ({ tenantId, keyId, ids, last, count }: Sends): AuditEntry[] => {
    const entry = (subject: string | null, detail?: AuditEntry['detail']): AuditEntry => ({
      id: uuidV7(clock.wall()),
      tenantId,
      apiKeyId: keyId,
      action: SEND,
      subject,
      ...(detail === undefined ? {} : { detail }),
    });
    if (count <= eachUpTo) return ids.map((id) => entry(id));
    return [entry(null, { count, firstMessageId: ids[0] ?? last, lastMessageId: last })];
  };
  const flush = async (): Promise<void> => {
    armed = false;
    const batch = gathered;
    gathered = new Map();
    if (batch.size === 0) return;
    try {
      await deps.write([...batch.values()].flatMap(entriesOf));
    } catch (error) {
      telemetry.log.warn('audit.failed', { action: SEND, keys: batch.size }, error);
      for (const { tenantId, keyId, ids, last, count } of batch.values()) gather(tenantId, keyId, ids, last, count);
      arm();
    }
  };
  const arm = (): void => {
    if (armed || closed) return;
    armed = true;
    clock.after(flushMs, () => void flush(), { background: true });
  };

  return {
    async note({ viewer, tenantId = viewer.tenantId, action, subject, detail }) {
      if (action === SEND && subject !== null) {
        gather(tenantId, viewer.keyId, [subject], subject, 1);
        arm();
        return;
      }
      const entry = { id: uuidV7(clock.wall()), tenantId, apiKeyId: viewer.keyId, action, subject };
      try {
        await deps.write([{ ...entry, ...(detail === undefined ? {} : { detail }) }]);
      } catch (error) {
        telemetry.log.warn('audit.failed', { action }, error);
      }
    },
    async close() {
      closed = true;
      await flush();
    },
  };
}
