import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Reads a text file that stands beside the calling module (`.sql`, `.lua`). The build copies these files to `dist/` beside the
 * compiled code, so the same call works from source and from the build. Source: call with `import.meta.url`.
 */
export function readAsset(moduleUrl: string, name: string): string {
  return readFileSync(fileURLToPath(new URL(name, moduleUrl)), 'utf8');
}
