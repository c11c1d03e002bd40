/** a longer message is no keyword */
export const KEYWORD_LIMIT = 60;

/** A message as words to compare: lower case, without punctuation and signs, one space between. */
export function plainWords(text: string): string {
  return text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\p{P}\p{S}]+/gu, ' ')
    .trim()
    .replace(/\s+/g, ' ');
}
