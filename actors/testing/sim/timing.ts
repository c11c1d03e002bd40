/** The timing that worlds run with: the product's defaults. */
export const TTL_MS = 6000;
export const RENEW_MS = 2000;
export const SCAN_MS = 500;
export const MARGIN_MS = 500;
export const WINDOW = 50;
