import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import qrcode from 'qrcode-terminal';
import { loadConfig } from '../../../ops/config/index.ts';
import { connectPostgres, connectRedis, placeOf, redisReady } from '../../../ops/connect/index.ts';
import { createLifetime, systemClock } from '../../../ops/lifecycle/index.ts';
import { qrPng } from '../../../schema/qr/index.ts';
import { PairProblem, pair } from './pair-command.ts';

/** `npm run pair -- <device> [--create] [--tenant NAME] [--code PHONE] [--png FILE]`: links a phone to a WhatsApp device by QR codes in the terminal. */
const USAGE = `usage: npm run pair -- <device name or id> [--create] [--tenant NAME] [--code PHONE] [--png FILE]
  --create        make the WhatsApp device when there is none of that name
  --tenant NAME   whose device it is, when several tenants exist
  --code PHONE    a code to type on the phone with this number (+4917...) instead of a QR code
  --png FILE      each QR code also as a picture in this file`;

function draw(text: string): string {
  let drawn = '';
  qrcode.generate(text, { small: true }, (lines) => {
    drawn = lines;
  });
  return drawn;
}

async function run(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      create: { type: 'boolean', default: false },
      tenant: { type: 'string' },
      code: { type: 'string' },
      png: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const [device] = positionals;
  if (values.code !== undefined && !/^\+[1-9]\d{6,14}$/.test(values.code))
    throw new PairProblem('--code: expected a phone number such as +491701234567');
  if (device === undefined || positionals.length > 1 || values.help) throw new PairProblem(USAGE);
  const config = loadConfig(process.env);
  const place = placeOf(config);
  if (place === null) {
    throw new PairProblem(`no running stack is known in ${config.DATA_DIR}: run npm start first, or set DATABASE_URL and REDIS_URL`);
  }
  const { databaseUrl, redisUrl } = place;
  const lifetime = createLifetime();
  try {
    const sql = connectPostgres(databaseUrl, { applicationName: 'flotilla-pair', max: 2 });
    lifetime.add('postgres', () => sql.end({ timeout: 2 }));
    const redis = connectRedis(redisUrl, { role: 'general', name: 'flotilla-pair' });
    const subscriber = connectRedis(redisUrl, { role: 'subscriber', name: 'flotilla-pair' });
    lifetime.add('redis', () => {
      redis.disconnect();
      subscriber.disconnect();
    });
    await sql.unsafe('select 1').catch((error: Error) => {
      throw new PairProblem(`Postgres cannot be reached (${error.message}): is the stack running?`);
    });
    await Promise.all([redisReady(redis, 5000), redisReady(subscriber, 5000)]).catch(() => {
      throw new PairProblem('Redis cannot be reached: QR codes travel through it. Is the stack running, is REDIS_URL right?');
    });
    const write = (text: string): void => void process.stdout.write(text);
    const deps = { sql, redis, subscriber, clock: systemClock, write, live: process.stdout.isTTY === true, draw };
    const { png } = values;
    const keepPng = (text: string): string => {
      writeFileSync(png ?? '', qrPng(text), { mode: 0o600 });
      return png ?? '';
    };
    return await pair(png === undefined ? deps : { ...deps, keepPng }, {
      device,
      create: values.create,
      tenant: values.tenant,
      codeFor: values.code,
    });
  } finally {
    await lifetime.end();
  }
}

try {
  process.exitCode = (await run()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
