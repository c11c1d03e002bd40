/**
 * May a page of this Origin speak to the gateway? Its own pages may, listed ones may, and clients that send no Origin (no browsers). CORS does not cover
 * the WebSocket upgrade, so this is asked there and for every HTTP request alike.
 */
export function originAllowed(
  request: { readonly origin: string | undefined; readonly headers: Readonly<Record<string, string>> },
  allowed: readonly string[],
): boolean {
  if (request.origin === undefined) return true;
  if (allowed.includes(request.origin)) return true;
  try {
    return new URL(request.origin).host === request.headers['host'];
  } catch {
    return false;
  }
}
