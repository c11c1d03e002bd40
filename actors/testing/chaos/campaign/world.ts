import { connectPostgres } from '../../../../ops/connect/index.ts';
import { type Clock, readAsset } from '../../../../ops/lifecycle/index.ts';
import { type Api, ask, ensureDevices, type Stack } from '../../../../ops/start/index.ts';
import type { LedgerRow } from '../../checker/index.ts';
import { askAgain, until } from '../scene.ts';
import type { FlowEnrolment, FlowMessage } from './check.ts';

/** The people, devices and flows of a campaign run, made through the API as an operator would, and what the ledger says of them afterwards. */

const MESSAGES = readAsset(import.meta.url, './messages.sql');
const ENROLMENTS = readAsset(import.meta.url, './enrolments.sql');
const UNFINISHED = readAsset(import.meta.url, './unfinished.sql');
const LEADS = readAsset(import.meta.url, './leads.sql');
const PAGE = 2000;
const CONNECT_MS = 90_000;
/** aliases of one request */
const ALIASES = 25;

export interface Pace {
  readonly minMs: number;
  readonly maxMs: number;
}

/** @returns the devices, and which of them have a cap */
export async function makeDevices(
  clock: Clock,
  api: Api,
  sizes: { readonly devices: number; readonly capped: number; readonly cap: number; readonly pace: Pace },
): Promise<ReadonlyMap<string, number>> {
  const ids = await ensureDevices(api, sizes.devices, { paceMinMs: sizes.pace.minMs, paceMaxMs: sizes.pace.maxMs });
  const capped = ids.slice(0, sizes.capped);
  for (const id of capped)
    await ask(api, `mutation { updateDevice(input: {deviceId: "${id}", dailyCap: ${sizes.cap}}) { errors { code message } } }`);
  const connected = async (): Promise<boolean> =>
    (await ask<{ fleet: { connected: number } }>(api, '{ fleet { connected } }')).fleet.connected === sizes.devices;
  if (!(await until(clock, CONNECT_MS, connected))) throw new Error(`not all devices are connected after ${CONNECT_MS / 1000} s`);
  return new Map(capped.map((id) => [id.slice(-36), sizes.cap]));
}

export const phoneOf = (n: number): string => `+49151${10_000_000 + n}`;

/** Leads as a file. @throws Error when not all of them came in */
export async function makeLeads(api: Api, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, n) => `${phoneOf(n)},Lead ${n}\n`);
  const response = await fetch(`${api.url}/api/leads/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'text/csv' },
    body: `phone,name\n${lines.join('')}`,
  });
  const answer = (await response.json()) as { readonly made?: number };
  if (answer.made !== count) throw new Error(`leads: ${JSON.stringify(answer)}`);
}

export interface MadeFlow {
  readonly kind: 'Campaign' | 'Sequence';
  readonly id: string;
  readonly name: string;
}
/** @throws Error with what the API says is wrong */
export async function makeFlow(clock: Clock, api: Api, kind: MadeFlow['kind'], input: string, name: string): Promise<MadeFlow> {
  const one = kind.toLowerCase();
  const answer = await askAgain<Record<string, Record<string, { id: string } | null> & { errors: readonly unknown[] }>>(
    clock,
    api,
    `mutation { create${kind}(input: {name: "${name}", ${input}}) { ${one} { id } errors { code message } } }`,
  );
  const made = answer[`create${kind}`]?.[one];
  if (made === null || made === undefined) throw new Error(`${name}: ${JSON.stringify(answer)}`);
  return { kind, id: (made as { id: string }).id, name };
}

/** @returns wall ms of the answer: from then on it holds. @throws Error when the API refuses */
export async function command(clock: Clock, api: Api, verb: 'start' | 'pause' | 'resume' | 'cancel', flow: MadeFlow): Promise<number> {
  const field = `${verb}${flow.kind}`;
  const answer = await askAgain<Record<string, { errors: readonly { message: string }[] }>>(
    clock,
    api,
    `mutation { ${field}(input: {id: "${flow.id}"}) { errors { code message } } }`,
  );
  const [error] = answer[field]?.errors ?? [];
  if (error !== undefined) throw new Error(`${field} ${flow.name}: ${error.message}`);
  return clock.wall();
}

/** These people say stop. @returns wall ms of the answer for each */
export async function saysStop(clock: Clock, api: Api, phones: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const stops = new Map<string, number>();
  for (let at = 0; at < phones.length; at += ALIASES) {
    const some = phones.slice(at, at + ALIASES);
    const fields = some.map((phone, n) => `s${n}: suppress(input: {phone: "${phone}", reason: "STOP"}) { errors { code message } }`);
    const answer = await askAgain<Record<string, { errors: readonly unknown[] }>>(clock, api, `mutation { ${fields.join('\n')} }`);
    if (Object.values(answer).some(({ errors }) => errors.length > 0)) throw new Error(`suppress: ${JSON.stringify(answer)}`);
    for (const phone of some) stops.set(phone, clock.wall());
  }
  return stops;
}

type MessageRow = LedgerRow & FlowMessage;
/** The ledger of a campaign run, past every process of the product. */
export interface CampaignView {
  /** what nothing holds and has not ended, and devices that are still below their cap */
  unfinished(): Promise<{ readonly leftOver: number; readonly belowCap: number }>;
  messages(each: (row: MessageRow) => void): Promise<void>;
  enrolments(each: (row: FlowEnrolment) => void): Promise<void>;
  leads(each: (lead: number, phone: string | null) => void): Promise<void>;
  deviceIds(): Promise<readonly string[]>;
  /** number of a flow */
  flowNo(flow: MadeFlow): Promise<number>;
  close(): Promise<void>;
}

export function viewCampaign(stack: Stack): CampaignView {
  const sql = connectPostgres(stack.databaseUrl, { applicationName: 'chaos', max: 2, statementTimeoutMs: 60_000, planner: 'general' });
  return {
    async unfinished() {
      const [row] = await sql.unsafe<{ left_over: number; below_cap: number }[]>(UNFINISHED);
      return { leftOver: Number(row?.left_over ?? 0), belowCap: Number(row?.below_cap ?? 0) };
    },
    async messages(each) {
      await sql.unsafe<MessageRow[]>(MESSAGES).cursor(PAGE, (rows) => void rows.forEach(each));
    },
    async enrolments(each) {
      await sql.unsafe<FlowEnrolment[]>(ENROLMENTS).cursor(PAGE, (rows) => void rows.forEach(each));
    },
    async leads(each) {
      for (const { lead, phone } of await sql.unsafe<{ lead: number; phone: string | null }[]>(LEADS)) each(lead, phone);
    },
    async deviceIds() {
      return (await sql.unsafe<{ id: string }[]>('select id from devices order by no')).map(({ id }) => id);
    },
    async flowNo(flow) {
      const [row] = await sql.unsafe<{ no: number }[]>('select no from flows where id = $1', [flow.id.slice(-36)]);
      if (row === undefined) throw new Error(`no flow ${flow.id}`);
      return row.no;
    },
    close: () => sql.end({ timeout: 2 }),
  };
}
