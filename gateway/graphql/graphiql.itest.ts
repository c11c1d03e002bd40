import { parse, validate } from 'graphql';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededDice, systemClock } from '../../ops/lifecycle/index.ts';
import { buildSchema } from '../../schema/graphql/index.ts';
import { createServer, type Server } from '../server/index.ts';
import { EXAMPLES } from './examples.ts';
import { createGraphqlHttp } from './index.ts';
import { testExecutor, testTelemetry, testViewer } from './testing.ts';

const KEY = 'flk_the-key-of-this-test';
let server: Server;
let browser: Browser;
let url = '';

beforeAll(async () => {
  const telemetry = testTelemetry();
  server = createServer({ clock: systemClock, dice: seededDice(1), telemetry });
  const auth = {
    authenticate: async ({ authorization }: { authorization: string | undefined }) =>
      authorization === `Bearer ${KEY}` ? testViewer() : ({ code: 'UNAUTHENTICATED', status: 401, message: 'expected a key' } as const),
    forget: () => {},
  };
  const executor = testExecutor(async (item) => ({ kind: 'accepted', id: item.id, seq: 1, paused: false }));
  server.http('ANY', '/graphql', createGraphqlHttp({ executor, auth, clock: systemClock, telemetry }));
  const { port } = await server.listen('127.0.0.1', 0);
  url = `http://127.0.0.1:${port}/graphql`;
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync'],
  });
});
afterAll(async () => {
  await browser?.close();
  await server?.drain({ windowMs: 0, deadlineMs: 500 });
});

describe('GraphiQL', () => {
  it('opens with examples that the schema takes', () => {
    const schema = buildSchema();
    for (const { query } of EXAMPLES) expect(validate(schema, parse(query)), query).toEqual([]);
  });

  it('runs under its policy, takes the key once, sends it to the gateway alone, and keeps it for the tab only', async () => {
    const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('console', (message) => {
      if (/Content Security Policy|Refused to/i.test(message.text())) problems.push(message.text());
    });
    const hosts = new Set<string>();
    page.on('request', (request) => {
      if (request.url().startsWith('http')) hosts.add(new URL(request.url()).host);
    });
    await page.goto(url);
    await page.getByLabel('API key').fill(KEY);
    await page.getByRole('button', { name: 'Use' }).click();
    await page.getByText('kept for this tab only').waitFor({ timeout: 60_000 });
    await page
      .getByRole('tab', { name: 'Fleet' })
      .or(page.getByText('Fleet', { exact: true }))
      .first()
      .click();
    await page.locator('.graphiql-execute-button, button[aria-label^="Execute"]').first().click({ timeout: 60_000 });
    await page.getByText('"keyName"').first().waitFor({ timeout: 60_000 });
    expect(problems).toEqual([]);
    expect([...hosts]).toEqual([new URL(url).host]);
    const kept = await page.evaluate(() => ({
      session: JSON.stringify(sessionStorage),
      local: JSON.stringify(localStorage),
      cookie: document.cookie,
    }));
    expect(kept.session).toContain(KEY);
    expect(kept.local).not.toContain(KEY);
    expect(kept.cookie).toBe('');
    const other = await context.newPage();
    await other.goto(url);
    await other.getByText('no key yet').waitFor({ timeout: 60_000 });
    await context.close();
  });
});
