/** int8 as a JS number. @throws RangeError (parse) for what a number does not hold exactly */
export const int8 = {
  to: 20,
  from: [20],
  serialize: (value: number): string => String(value),
  parse: (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw new RangeError(`int8 out of the safe range: ${text}`);
    return value;
  },
};
