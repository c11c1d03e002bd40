import { describe, expect, it } from 'vitest';
import { renderText, TemplateError, templateVariables } from './render.ts';

const ann = { name: ' Ann  Lee ', phone: '+15551', attributes: { city: 'Ulm', seats: 4, empty: '  ', nested: {} } };

describe('a text with gaps', () => {
  it.each([
    ['Hi {{name}}', 'Hi Ann  Lee'],
    ['Hi {{ first_name }}!', 'Hi Ann!'],
    ['{{city}}: {{seats}} seats', 'Ulm: 4 seats'],
    ['{{empty|nothing}} {{nested| x }} {{missing|}}', 'nothing x '],
    ['no gap {one}', 'no gap {one}'],
  ])('%s', (template, said) => expect(renderText(template, ann)).toBe(said));

  it('is not made for a lead that lacks a value without a fallback', () => {
    expect(renderText('Hi {{surname}}', ann)).toBeNull();
    expect(renderText('Hi {{name}}', { ...ann, name: null })).toBeNull();
  });
  it('does not read values as templates, nor the prototype as attributes', () => {
    expect(renderText('{{a}}', { ...ann, attributes: { a: '{{name}} $& $1' } })).toBe('{{name}} $& $1');
    expect(renderText('{{constructor}}', ann)).toBeNull();
  });
  it('names its variables, and what is wrong with it', () => {
    expect(templateVariables('{{name}} {{city|x}} {{size}} {{name}}')).toEqual(['name', 'size']);
    expect(templateVariables('plain')).toEqual([]);
    for (const bad of ['{{', 'a {{name', '{{first name}}', '}}', '  ']) expect(() => templateVariables(bad), bad).toThrow(TemplateError);
    expect(templateVariables('{{name}}')).toEqual(['name']);
  });
});
