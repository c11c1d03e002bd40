/** The number of a device's own JID: `4917…:12@s.whatsapp.net` -> `+4917…`. */
export function phoneOf(jid: string): string {
  return `+${jid.replace(/[:@].*$/, '')}`;
}
