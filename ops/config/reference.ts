import { FIELDS, type Field } from './fields.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** docs/configuration.md: one row per setting, made from FIELDS. */
export function configurationReference(): string {
  const rows = Object.entries(FIELDS as Readonly<Record<string, Field>>).map(([name, field]) => {
    const fallback = field.fallback === undefined ? '' : field.fallback === '' ? 'empty' : `\`${cell(field.fallback)}\``;
    const meaning = `${cell(field.meaning)}${field.secret === true ? ' (secret: never logged)' : ''}`;
    return `| \`${name}\` | ${fallback} | ${field.unit ?? ''} | ${meaning} |`;
  });
  return [
    '# Configuration',
    '',
    'Made from `ops/config/fields.ts` by `npm run snapshots`; do not edit. All settings are environment variables, read and checked once at',
    'start: a wrong value stops the process with the name of the variable and what was expected. An empty variable counts as unset.',
    '',
    '| variable | default | unit | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
