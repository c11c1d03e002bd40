import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Sql } from '../../ops/connect/index.ts';
import type { Clock } from '../../ops/lifecycle/index.ts';
import type { Telemetry } from '../../ops/telemetry/index.ts';
import { type LeadFields, leadFault, uuidV7 } from '../../schema/domain/index.ts';
import { type ImportFault, importLeads, noteLeadImport } from '../../schema/sql/index.ts';
import { HttpError } from '../server/index.ts';
import { isAway } from '../system/index.ts';
import type { RawLead } from './columns.ts';
import { FileError } from './csv.ts';
import type { PhoneReader } from './phone.ts';
import { createLeadSource, type SourceOptions, type SourceRow } from './source.ts';

/**
 * One file of leads on its way into the ledger.
 * Owns: the batch that is being filled and the one that is being written; nothing else of the file is in memory, however long it is.
 * I1 Batches are written one after the other: of two rows of one number the later one is the later word, in one batch as well.
 * I2 A row is counted once: new, changed, or left out with row, column and what was expected.
 * I3 Nobody else's request waits long: rows are read in slices, and others have their turn between.
 * I4 A batch that could not be written is tried again for RETRY_MS; a repeat writes the same.
 */
export interface ImportDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, 'count' | 'log'>;
}
export interface ImportTask extends SourceOptions {
  readonly id: string;
  readonly tenantId: string;
  readonly phones: PhoneReader;
}
export interface ImportSummary {
  readonly state: 'DONE' | 'FAILED' | 'CANCELLED';
  readonly rows: number;
  readonly made: number;
  readonly changed: number;
  readonly faulty: number;
  readonly error: string | null;
}

/** rows of one statement: more are hardly faster, and others wait for the making of it */
const BATCH = 1000;
const FAULTS = 1000;
const SLICE_BYTES = 16 * 1024;
/** of reading, before others have their turn */
const TURN_MS = 4;
const RETRY_MS = 60_000;
const RETRY_PAUSE_MS = 500;

class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

interface Batch {
  readonly leads: Map<string, LeadFields>;
  readonly faults: ImportFault[];
  rows: number;
  /** rows that joined one of the same number */
  joined: number;
}
const emptyBatch = (): Batch => ({ leads: new Map(), faults: [], rows: 0, joined: 0 });

/** Two rows of one number: the later one is the later word, as in import-leads.sql. */
function joinLeads(earlier: LeadFields, later: LeadFields): LeadFields {
  return {
    phone: later.phone,
    name: later.name ?? earlier.name,
    tags: [...new Set([...earlier.tags, ...later.tags])],
    niche: later.niche ?? earlier.niche,
    stage: later.stage ?? earlier.stage,
    attributes: { ...earlier.attributes, ...later.attributes },
    consentSource: later.consentSource ?? earlier.consentSource,
    consentAt: later.consentAt ?? earlier.consentAt,
  };
}

export async function runImport(deps: ImportDeps, task: ImportTask, chunks: AsyncIterable<Buffer>): Promise<ImportSummary> {
  const { sql, clock, telemetry } = deps;
  const source = createLeadSource(task);
  const sum = { rows: 0, made: 0, changed: 0, faulty: 0 };
  let bytes = 0;
  let batch = emptyBatch();
  let writing = Promise.resolve();
  let turn = clock.monotonic();

  const patiently = async <T>(work: () => Promise<T>): Promise<T> => {
    const until = clock.monotonic() + RETRY_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isAway(error) || clock.monotonic() > until) throw error;
        await clock.sleep(RETRY_PAUSE_MS);
      }
    }
  };
  const write = async (full: Batch, upTo: number): Promise<void> => {
    const leads = [...full.leads.values()].map((lead) => ({ ...lead, id: uuidV7(clock.wall()), tenantId: task.tenantId }));
    const { made, changed } = await patiently(() => importLeads(sql, leads));
    const noted = { rows: full.rows, made, changed: changed + full.joined, faults: full.faults, bytes: upTo };
    sum.rows += noted.rows;
    sum.made += made;
    sum.changed += noted.changed;
    sum.faulty += full.faults.length;
    telemetry.count('leads.imported', made + noted.changed, { outcome: 'written' });
    telemetry.count('leads.imported', full.faults.length, { outcome: 'faulty' });
    if (!(await patiently(() => noteLeadImport(sql, task.id, noted)))) throw new Cancelled();
  };
  /** I1 */
  const flush = async (): Promise<void> => {
    const full = batch;
    batch = emptyBatch();
    await writing;
    writing = write(full, bytes);
    // whoever waits next hears of it
    writing.catch(() => {});
  };
  const add = (one: SourceRow): void => {
    batch.rows += 1;
    const read = 'lead' in one ? readLead(one.lead, task.phones, source.phoneField) : one;
    if ('message' in read) {
      batch.faults.push({ row: one.row, field: read.field, message: read.message });
      return;
    }
    const earlier = batch.leads.get(read.phone);
    if (earlier === undefined) batch.leads.set(read.phone, read);
    else {
      batch.joined += 1;
      const joined = joinLeads(earlier, read);
      // together they may be more than one may have
      const fault = leadFault(joined);
      if (fault === null) batch.leads.set(read.phone, joined);
      else {
        batch.joined -= 1;
        batch.faults.push({ row: one.row, ...fault });
      }
    }
  };
  const take = async (rows: readonly SourceRow[]): Promise<void> => {
    for (const one of rows) {
      add(one);
      if (batch.leads.size >= BATCH || batch.faults.length >= FAULTS) await flush();
    }
    if (clock.monotonic() - turn > TURN_MS) {
      await nextTurn();
      turn = clock.monotonic();
    }
  };
  const read = async (): Promise<void> => {
    for await (const chunk of chunks) {
      for (let from = 0; from < chunk.length; from += SLICE_BYTES) {
        const slice = chunk.subarray(from, from + SLICE_BYTES);
        bytes += slice.length;
        await take(await source.feed(slice));
      }
    }
    await take(await source.end());
  };

  let error: string | null = null;
  try {
    try {
      await read();
    } catch (fault) {
      if (fault instanceof Cancelled) throw fault;
      error = stopOf(fault, telemetry);
    }
    // what was read before is in
    await flush();
    await writing;
  } catch (fault) {
    if (fault instanceof Cancelled) return { ...sum, state: 'CANCELLED', error: 'cancelled' };
    error ??= stopOf(fault, telemetry);
  }
  const state = error === null ? 'DONE' : 'FAILED';
  const last = { bytes, rows: 0, made: 0, changed: 0, faults: [], state, ...(error === null ? {} : { error }) } as const;
  if (!(await patiently(() => noteLeadImport(sql, task.id, last)))) return { ...sum, state: 'CANCELLED', error: 'cancelled' };
  return { ...sum, state, error };
}

function readLead(
  raw: RawLead,
  phones: PhoneReader,
  phoneField: () => string,
): LeadFields | { readonly field: string; readonly message: string } {
  const read = phones(raw.phone);
  if ('fault' in read) return { field: phoneField(), message: read.fault };
  const lead = { ...raw, phone: read.phone };
  return leadFault(lead) ?? lead;
}

/** Why it stopped, as its sender may read it. */
function stopOf(fault: unknown, telemetry: ImportDeps['telemetry']): string {
  if (fault instanceof FileError) return fault.message;
  if (fault instanceof HttpError) return `the upload ended early: ${fault.message}`;
  telemetry.log.error('leads.import', {}, fault);
  return isAway(fault) ? 'the ledger was away for too long: send the file again' : 'internal error: send the file again';
}
