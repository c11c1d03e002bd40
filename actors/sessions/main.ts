import { parseArgs } from 'node:util';
import { loadConfig, type Settings } from '../../ops/config/index.ts';
import { connectPostgres, connectRedis, placeOf, redisReady, type Sql } from '../../ops/connect/index.ts';
import { createLifetime, systemClock } from '../../ops/lifecycle/index.ts';
import { table } from '../../ops/report/index.ts';
import { FlotillaError } from '../../schema/domain/index.ts';
import { backupSessions, checkBackup, restoreSessions } from './backup.ts';
import { openSealedStore } from './choose.ts';
import { importFolder } from './import.ts';
import { type KeyRing, loadKeyRing } from './key-ring.ts';
import { type Resealed, resealSecrets, resealSessions } from './reseal.ts';
import type { Sealed } from './sealed.ts';

/** `npm run sessions -- <verb>`, `npm run backup`, `npm run restore`: the stored WhatsApp sessions, by hand. Exit code 0 only when all went right. */
const USAGE = `usage: npm run sessions -- check                      every session, proxy and webhook secret opens, and with which keys they are sealed
       npm run sessions -- reseal                     seal all with the newest key of the ring
       npm run sessions -- import FOLDER --device D   take over a multi-file folder of Baileys [--replace]
       npm run backup -- FILE                         all sessions, sealed as they are, to a new file
       npm run restore -- FILE [--device D] [--replace] [--check]
  D is the name or id of a WhatsApp device; --tenant NAME says whose. The settings are the nodes' own: SESSION_STORE, SESSION_KEYS, DATA_DIR,
  and DATABASE_URL and REDIS_URL unless npm start runs here. With SESSION_STORE=file stop the nodes before reseal, import and restore.`;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

interface Given {
  readonly device: string | undefined;
  readonly tenant: string | undefined;
  readonly replace: boolean;
  readonly check: boolean;
}
interface Deps {
  readonly sql: Sql;
  readonly sealed: Sealed;
  readonly ring: KeyRing;
  readonly clock: typeof systemClock;
}

async function deviceOf(sql: Sql, { device, tenant }: Given): Promise<string> {
  if (device === undefined) throw new Error(USAGE);
  const rows = await sql<{ id: string }[]>`
    select d.id from devices d join tenants t on t.id = d.tenant_id
    where (d.name = ${device} or d.id::text = ${device.replace(/^Device:/, '')}) and d.transport = 'whatsapp' and d.deleted_at is null
      and (${tenant ?? null}::text is null or t.name = ${tenant ?? null})`;
  if (rows.length > 1) throw new Error(`several tenants have a WhatsApp device "${device}": say --tenant NAME`);
  const found = rows[0]?.id;
  if (found === undefined) throw new Error(`there is no WhatsApp device "${device}"`);
  return found;
}

/** sessions, and what else the ring seals */
const both = async ({ sealed, sql, ring }: Deps, dry: boolean): Promise<readonly [Resealed, Resealed]> => [
  await resealSessions(sealed, ring, dry),
  await resealSecrets(sql, ring, dry),
];

function tellUnreadable(unreadable: Resealed['unreadable']): void {
  if (unreadable.length > 0)
    say(table([['device or webhook', 'what', 'why'], ...unreadable.map(({ owner, type, code }) => [owner, type, code])]));
}

async function check(deps: Deps): Promise<boolean> {
  const found = await both(deps, true);
  const [sessions, secrets] = found;
  const older = found.flatMap(({ left }) => Object.entries(left).map(([key, count]) => `${count} with "${key}"`));
  say(
    `${sessions.owners} sessions, ${sessions.blobs} blobs, ${secrets.blobs} proxies and webhooks; the ring seals with "${deps.ring.sealsWith}"; sealed otherwise: ${older.join(', ') || 'none'}`,
  );
  const unreadable = found.flatMap((each) => each.unreadable);
  tellUnreadable(unreadable);
  return unreadable.length === 0;
}

async function reseal(deps: Deps): Promise<boolean> {
  const found = await both(deps, false);
  const [sessions, secrets] = found;
  say(
    `${sessions.resealed} blobs of ${sessions.owners} sessions and ${secrets.resealed} of ${secrets.owners} proxies and webhooks sealed with "${deps.ring.sealsWith}"; ${sessions.overtaken + secrets.overtaken} were written anew by their owner meanwhile`,
  );
  tellUnreadable(found.flatMap((each) => each.unreadable));
  const needed = [...new Set(found.flatMap(({ left }) => Object.keys(left)))];
  say(needed.length === 0 ? 'No other key is needed any more.' : `Still needed, or damaged: ${needed.join(', ')}`);
  return needed.length === 0;
}

async function restore(deps: Deps, file: string, given: Given): Promise<boolean> {
  const { sessions } = await checkBackup(file);
  if (given.check) {
    say(`${file} is whole: ${sessions} sessions`);
    return true;
  }
  const only = given.device === undefined ? {} : { only: new Set([await deviceOf(deps.sql, given)]) };
  const { restored, refused } = await restoreSessions(deps, file, { replace: given.replace, ...only });
  say(`${restored.length} of ${sessions} sessions restored`);
  if (refused.length > 0) say(table([['device', 'not restored, because'], ...refused.map(({ device, code }) => [device, code])]));
  return refused.length === 0;
}

async function run(config: Settings): Promise<boolean> {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { device: text, tenant: text, replace: flag, check: flag, help: flag },
  });
  const [verb = '', path] = positionals;
  const wantsPath = ['import', 'backup', 'restore'].includes(verb);
  const known = wantsPath || ['check', 'reseal'].includes(verb);
  if (!known || values.help || positionals.length !== (wantsPath ? 2 : 1)) throw new Error(USAGE);
  const file = path ?? '';
  const given: Given = { device: values.device, tenant: values.tenant, replace: values.replace, check: values.check };
  const place = placeOf(config);
  if (place === null)
    throw new Error(`no running stack is known in ${config.DATA_DIR}: run npm start first, or set DATABASE_URL and REDIS_URL`);
  const lifetime = createLifetime();
  try {
    const sql = connectPostgres(place.databaseUrl, { applicationName: 'flotilla-sessions', max: 2, statementTimeoutMs: 0 });
    lifetime.add('postgres', () => sql.end({ timeout: 2 }));
    const redis = connectRedis(place.redisUrl, { role: 'general', name: 'flotilla-sessions' });
    lifetime.add('redis', () => redis.disconnect());
    if (config.SESSION_STORE === 'redis') await redisReady(redis, 5000);
    const sealed = await openSealedStore(config, { sql, redis: () => redis });
    const deps: Deps = { sql, sealed, ring: loadKeyRing(config), clock: systemClock };
    if (verb === 'check') return await check(deps);
    if (verb === 'reseal') return await reseal(deps);
    if (verb === 'restore') return await restore(deps, file, given);
    if (verb === 'backup') {
      const { sessions, bytes } = await backupSessions(sealed, file, new Date(systemClock.wall()));
      say(`${sessions} sessions, ${bytes} bytes, in ${file}. Without the key ring it is worth nothing: keep that elsewhere.`);
      return true;
    }
    const { keys, ignored, jid } = await importFolder(deps, await deviceOf(sql, given), file, values.replace);
    say(`the session of ${jid} is taken over with ${keys} keys${ignored.length > 0 ? `; left aside: ${ignored.join(', ')}` : ''}`);
    return true;
  } finally {
    await lifetime.end();
  }
}

try {
  process.exitCode = (await run(loadConfig(process.env))) ? 0 : 1;
} catch (error) {
  const told = error instanceof FlotillaError ? `${error.code}: ${error.message}` : error instanceof Error ? error.message : String(error);
  process.stderr.write(`${told}\n`);
  process.exitCode = 1;
}
