import { type CountryCode, isSupportedCountry, parsePhoneNumberFromString } from 'libphonenumber-js/min';
import type { PhoneReading } from '../../schema/graphql/index.ts';

/** How sure one must be that a number exists: `valid` = its range is in use, `possible` = only its length fits its country. */
export type PhoneCheck = 'valid' | 'possible';
export type PhoneReader = (text: string) => PhoneReading;

const LONGEST_TEXT = 60;

/** True for ISO 3166 codes of countries that the numbering plans know. */
export function isRegion(text: string): boolean {
  return /^[A-Z]{2}$/.test(text) && isSupportedCountry(text);
}

/**
 * Reads phone numbers by the numbering plans of libphonenumber.
 * @param region country of numbers without a country code; null: those are refused
 * @returns E.164, or what is wrong, never with the number itself
 */
export function createPhoneReader(region: string | null, check: PhoneCheck = 'valid'): PhoneReader {
  const options = region === null ? { extract: false } : { defaultCountry: region as CountryCode, extract: false };
  return (raw) => {
    const text = raw.trim();
    if (text === '') return { fault: 'expected a phone number: it is empty' };
    if (text.length > LONGEST_TEXT) return { fault: `expected a phone number: it is longer than ${LONGEST_TEXT} characters` };
    // 00 is how most of the world writes +
    const read = parsePhoneNumberFromString(/^00[1-9]/.test(text) ? `+${text.slice(2)}` : text, options);
    if (read === undefined) {
      const international = /^(\+|00)/.test(text);
      if (!international && region === null && /\d{5}/.test(text))
        return { fault: 'expected a number with its country code, such as +491701234567, or a region for numbers without' };
      return { fault: /\d/.test(text) ? 'expected a phone number: no country has such numbers' : 'expected a phone number' };
    }
    if (read.ext !== undefined && read.ext !== '') return { fault: 'expected a phone number without an extension' };
    if (!read.isPossible()) return { fault: 'expected a phone number: it is too short or too long for its country' };
    if (check === 'valid' && !read.isValid()) return { fault: 'expected a phone number that is in use in its country' };
    return { phone: read.number };
  };
}
