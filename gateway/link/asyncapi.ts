import { readAsset } from '../../ops/lifecycle/index.ts';

/** The machine-readable description of flotilla-link.v1 (AsyncAPI 3.0), served at /link/asyncapi.json. */
export function asyncapiDocument(): Readonly<Record<string, unknown>> {
  return JSON.parse(readAsset(import.meta.url, './asyncapi.json')) as Record<string, unknown>;
}
