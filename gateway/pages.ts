import { fileURLToPath } from 'node:url';
import { type HttpHandler, loadStatic } from './server/index.ts';

const CSP =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

function placeholder(title: string, text: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>`;
}

/** The wall's built files at `/`, the console's at `/console`; a page that says so where they are not built. */
export function createPages(folder = fileURLToPath(new URL('./wall/app/', import.meta.url))): HttpHandler {
  const files = loadStatic(folder, { 'content-security-policy': CSP });
  const built = files.names.some((name) => name.startsWith('assets/'));
  const html = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': CSP, 'cache-control': 'no-store' };
  return (request) => {
    const name = request.path === '/' ? 'index.html' : request.path === '/console' ? 'console.html' : request.path.slice(1);
    const answer = built ? files.answer(name, request) : undefined;
    if (answer !== undefined) return answer;
    if (request.path === '/')
      return { status: 200, headers: html, body: placeholder('Flotilla', 'The wall is not built here: npm run build.') };
    if (request.path === '/console') return { status: 200, headers: html, body: placeholder('Flotilla', 'The console is not built yet.') };
    return { status: 404, headers: html, body: placeholder('404', 'There is nothing here.') };
  };
}
