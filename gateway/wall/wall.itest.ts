import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../ops/start/index.ts';

/**
 * The wall in a real Chromium against a real stack of one gateway and two node processes. The picture it takes goes to
 * .data/wall.png; simulated phones.
 */
const DEVICES = 60;
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

describe('the wall', () => {
  let stack: Stack;
  let browser: Browser;
  let page: Page;
  const data = mkdtempSync(join(tmpdir(), 'flotilla-wall-'));

  beforeAll(async () => {
    stack = await startStack({ dataDir: data, nodes: 2, gateways: 1, devices: DEVICES, durable: false, env: { PACING: 'off' } });
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    page = await browser.newPage({ viewport: { width: 1920, height: 1080 } });
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
    rmSync(data, { recursive: true, force: true });
  }, 120_000);

  it('asks for a key when it has none, and shows nothing', async () => {
    await page.goto(`${stack.gateways[0]?.url}/`);
    await page.getByLabel(/needs a key/).waitFor({ timeout: 40_000 });
    expect(await page.getByText('NO DATA YET').count()).toBe(1);
  }, 120_000);

  it('shows every device connected on two nodes, live and marked as simulated, without a console error', async () => {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto('about:blank');
    await page.goto(`${stack.gateways[0]?.url}/#key=${stack.adminKey}`);
    await page.locator(`#grid[aria-label="${DEVICES} of ${DEVICES} devices connected on 2 nodes"]`).waitFor({ timeout: 40_000 });
    expect(await page.getByText('SIMULATED PHONES').count()).toBe(1);
    expect(await page.locator('.chip.live').count()).toBe(1);
    expect(page.url()).not.toContain(stack.adminKey);
    mkdirSync('.data', { recursive: true });
    await page.screenshot({ path: '.data/wall.png' });
    expect(
      await page.evaluate('document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight'),
    ).toBe(true);
    expect(errors).toEqual([]);
  }, 120_000);

  it('paints tiles, not an empty canvas', async () => {
    // a tile that has just changed fades for 600 ms
    const painted = (): Promise<number> =>
      page.evaluate<number>(`(() => {
      const canvas = document.querySelector('#grid');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Map();
      for (let i = 0; i < data.length; i += 4) { const key = data[i] + ',' + data[i + 1] + ',' + data[i + 2]; seen.set(key, (seen.get(key) ?? 0) + 1); }
      return (seen.get('94,101,111') ?? 0) + (seen.get('164,179,189') ?? 0);
    })()`);
    await expect.poll(painted, { timeout: 30_000 }).toBeGreaterThan(DEVICES * 100);
  });

  it('says that it is stale when the gateway is gone, and is live again by itself when it is back', async () => {
    stack.gateways[0]?.kill('SIGKILL');
    await page.locator('.chip.link-reconnecting').waitFor({ timeout: 40_000 });
    await page.locator('.banner', { hasText: 'STALE since' }).waitFor({ timeout: 40_000 });
    await stack.gateways[0]?.restart();
    await page.locator('.chip.live').waitFor({ timeout: 40_000 });
    await expect.poll(() => page.locator('.banner').count()).toBe(0);
  }, 180_000);
});
