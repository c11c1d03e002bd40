import type { Kit } from './builder.ts';

export function addUserError(kit: Kit): void {
  kit.builder.objectType('UserError', {
    description: 'Why a mutation did nothing. Codes are stable.',
    fields: (t) => ({
      code: t.exposeString('code', { description: 'Machine-readable, such as INVALID_PHONE or DEVICE_NOT_FOUND.' }),
      message: t.exposeString('message', { description: 'What was expected and what came instead.' }),
      path: t.stringList({ description: 'The field it is about, such as ["input", "to"].', resolve: (error) => [...error.path] }),
      retryAfterMs: t.exposeInt('retryAfterMs', {
        nullable: true,
        description: 'Set when the same request makes sense again after so many ms.',
      }),
      outcomeUnknown: t.boolean({
        description: 'What was asked for may have been done all the same. A message: repeat with the same idempotencyKey.',
        resolve: (error) => error.outcomeUnknown ?? false,
      }),
    }),
  });
}
