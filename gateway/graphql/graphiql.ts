import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { GraphiQLOptions } from 'graphql-yoga';
import { EXAMPLES } from './examples.ts';

const OPTIONS: GraphiQLOptions = {
  title: 'Flotilla GraphiQL',
  defaultTabs: EXAMPLES.map(({ query, variables }) => ({
    query,
    ...(variables === undefined ? {} : { variables: JSON.stringify(variables, null, 2) }),
  })),
  subscriptionsProtocol: 'SSE',
  // a key never goes where it outlives the tab
  shouldPersistHeaders: false,
};

/**
 * The key is entered once and kept in sessionStorage: it lives as long as the tab, other tabs and other sites do not see it, and it is sent to
 * this very address only.
 */
const KEY_STYLE = `#key{display:flex;gap:.5rem;align-items:center;padding:.4rem .8rem;font:14px system-ui;background:#1b2230;color:#e8ecf3}
#key input{flex:0 1 26rem;padding:.25rem .5rem;font:13px ui-monospace,monospace}#key output{opacity:.85}
body{display:flex;flex-direction:column;height:100vh;margin:0}#root{flex:1;min-height:0;height:auto}`;
const KEY_BAR = `<form id="key" autocomplete="off"><label for="key-text">API key</label>
<input id="key-text" type="password" spellcheck="false" autocomplete="off" placeholder="flk_…">
<button type="submit">Use</button><button type="button" id="key-forget">Forget</button><output id="key-said"></output></form>`;
const KEY_SCRIPT = `(() => {
  const NAME = 'flotilla.key';
  const get = () => sessionStorage.getItem(NAME) || '';
  const plain = window.fetch.bind(window);
  window.fetch = (target, init) => {
    const url = new URL(typeof target === 'string' ? target : target.url || String(target), location.href);
    const key = get();
    if (url.origin !== location.origin || url.pathname !== location.pathname || key === '') return plain(target, init);
    const headers = new Headers((init && init.headers) || (target instanceof Request ? target.headers : undefined));
    if (!headers.has('authorization')) headers.set('authorization', 'Bearer ' + key);
    return plain(target, { ...init, headers });
  };
  addEventListener('DOMContentLoaded', () => {
    const said = document.getElementById('key-said');
    const tell = () => { said.textContent = get() === '' ? 'no key yet: nothing can be asked' : 'kept for this tab only'; };
    document.getElementById('key').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = document.getElementById('key-text');
      if (text.value.trim() === '') return;
      sessionStorage.setItem(NAME, text.value.trim().replace(/^Bearer /i, ''));
      text.value = '';
      location.reload();
    });
    document.getElementById('key-forget').addEventListener('click', () => { sessionStorage.removeItem(NAME); location.reload(); });
    tell();
  });
})();`;

export interface GraphiqlPage {
  readonly html: Buffer;
  readonly gzipped: Buffer;
  readonly contentSecurityPolicy: string;
}

/** Names every script that stands in the page, so that no other one can run. */
function policyOf(html: string): string {
  const hashes = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(
    ([, script = '']) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    `script-src ${hashes.join(' ')}`,
    "style-src 'unsafe-inline'",
    "img-src 'self' data:",
    'font-src data:',
    "connect-src 'self'",
    'worker-src blob: data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

function withKeyBar(html: string): string {
  return html
    .replace('<head>', () => `<head><style>${KEY_STYLE}</style><script>${KEY_SCRIPT}</script>`)
    .replace(/<body[^>]*>/, (body) => `${body}${KEY_BAR}`);
}

/**
 * The page with all its scripts inside (9 MB, 2.5 MB gzipped): nothing is fetched from elsewhere. Made on the first request for it and
 * kept. Null where the package is not installed.
 */
export function createGraphiql(): () => Promise<GraphiqlPage | null> {
  let page: Promise<GraphiqlPage | null> | undefined;
  const make = async (): Promise<GraphiqlPage | null> => {
    const renderer = await import('@graphql-yoga/render-graphiql').catch(() => null);
    if (renderer === null) return null;
    const text = withKeyBar(renderer.renderGraphiQL(OPTIONS));
    const html = Buffer.from(text);
    return { html, gzipped: await promisify(gzip)(html), contentSecurityPolicy: policyOf(text) };
  };
  return () => {
    page ??= make();
    return page;
  };
}
