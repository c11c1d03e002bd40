/**
 * Whole messages that end and begin writing to somebody, as plainWords in schema/domain writes them. The English ones are those that US carriers ask for
 * (CTIA, Messaging Principles and Best Practices, 5.1.3); the others say the same. Tenants add their own (`updateTenant`); these hold for everybody.
 */
export const STOP_WORDS: ReadonlySet<string> = new Set([
  ...['stop', 'stop all', 'stopall', 'unsubscribe', 'cancel', 'end', 'quit', 'optout', 'opt out', 'revoke'],
  // Portuguese, Spanish
  ...['parar', 'pare', 'sair', 'cancelar', 'descadastrar', 'baja', 'darme de baja', 'alto'],
  // German, Dutch
  ...['stopp', 'abmelden', 'abbestellen', 'afmelden', 'uitschrijven'],
  // French, Italian
  ...['arret', 'arrêt', 'arreter', 'arrêter', 'desabonner', 'désabonner', 'cancella', 'annulla', 'disiscrivimi'],
  // Turkish, Polish, Russian, Indonesian, Hindi, Arabic
  ...['iptal', 'wypisz', 'rezygnuje', 'rezygnuję', 'стоп', 'отписаться', 'отписка', 'berhenti', 'रोकें', 'बंद करें', 'توقف', 'إيقاف', 'الغاء'],
]);

export const START_WORDS: ReadonlySet<string> = new Set([
  ...['start', 'unstop', 'subscribe', 'optin', 'opt in'],
  // Portuguese, Spanish
  ...['voltar', 'cadastrar', 'alta', 'darme de alta'],
  // German, Dutch
  ...['anmelden', 'aanmelden', 'inschrijven'],
  // French, Italian
  ...['reprendre', 'abonner', 'iscrivimi'],
  // Turkish, Polish, Russian, Indonesian, Hindi, Arabic
  ...['başlat', 'zapisz', 'старт', 'подписаться', 'mulai', 'शुरू करें', 'ابدأ', 'اشتراك'],
]);
