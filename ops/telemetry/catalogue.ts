/**
 * Every metric and event of the product. Labels come from closed sets: never a device, lead, message, phone or client string.
 * Durations are seconds. Add a line here, then use it; the name in Prometheus is `flotilla_<name>` with `.` as `_`.
 */
export interface MetricDefinition {
  readonly kind: 'counter' | 'histogram' | 'gauge';
  readonly help: string;
  readonly unit?: 's' | 'By' | '1';
  readonly labels?: readonly string[];
}

export const METRICS = {
  'messages.accepted': { kind: 'counter', help: 'messages committed to the ledger' },
  'messages.rejected': { kind: 'counter', help: 'sendMessage refused', labels: ['code'] },
  'accept.duration': { kind: 'histogram', help: 'one batched accept statement', unit: 's' },
  'enqueue.outcome': { kind: 'counter', help: 'answers of the enqueue script', labels: ['outcome'] },
  intents: { kind: 'counter', help: 'verdicts of the intent statement', labels: ['verdict'] },
  results: { kind: 'counter', help: 'effects recorded', labels: ['state', 'counted'] },
  sends: { kind: 'counter', help: 'transport answers', labels: ['transport', 'outcome'] },
  'send.duration': { kind: 'histogram', help: 'intent to answer', unit: 's', labels: ['transport'] },
  'lease.acquired': { kind: 'counter', help: 'leases won', labels: ['reason'] },
  'lease.lost': { kind: 'counter', help: 'leases lost', labels: ['cause'] },
  'claims.unsure': {
    kind: 'counter',
    help: 'leases given back because lock masters that were restarted lately may have forgotten their owners',
  },
  'claims.held': { kind: 'counter', help: 'scans that claimed nothing because renewals were late' },
  'lease.renew.duration': { kind: 'histogram', help: 'one renewal round', unit: 's' },
  fenced: { kind: 'counter', help: 'writes refused because a newer epoch exists', labels: ['where'] },
  'partition.lost': { kind: 'counter', help: 'partitions found lost in Redis', labels: ['cause'] },
  'partition.rebuilt': { kind: 'counter', help: 'partitions rebuilt from Postgres' },
  refills: { kind: 'counter', help: 'mailbox entries refilled from the ledger', labels: ['cause'] },
  'mailbox.astray': { kind: 'counter', help: 'lanes that had gone past an open message without holding it, started anew from the ledger' },
  'devices.owned': { kind: 'gauge', help: 'devices this node owns' },
  'devices.suspected': { kind: 'gauge', help: 'devices on probation: in a turn at two deaths of a node, no completed turn since' },
  quarantines: { kind: 'counter', help: 'devices put into quarantine', labels: ['reason'] },
  'turns.stuck': { kind: 'counter', help: 'devices given up by the watchdog: their turn did not end' },
  'breaker.opened': { kind: 'counter', help: 'breakers opened', labels: ['scope'] },
  'leads.imported': { kind: 'counter', help: 'leads of files', labels: ['outcome'] },
  enrolled: { kind: 'counter', help: 'leads enrolled in flows' },
  planned: { kind: 'counter', help: 'messages of flows made', labels: ['outcome'] },
  redriven: { kind: 'counter', help: 'dead letters put back by redrives' },
  dead_letters: { kind: 'counter', help: 'messages that became DEAD', labels: ['cause'] },
  'webhook.requests': { kind: 'counter', help: 'requests to webhooks', labels: ['outcome'] },
  'webhook.dead': { kind: 'counter', help: 'events that a webhook did not take, after the last try' },
  'webhook.under_way': { kind: 'gauge', help: 'requests to webhooks under way' },
  inbound: { kind: 'counter', help: 'inbound messages stored', labels: ['transport'] },
  'http.requests': { kind: 'counter', help: 'HTTP answers', labels: ['route', 'status'] },
  'http.duration': { kind: 'histogram', help: 'HTTP request to answer', unit: 's', labels: ['route'] },
  sockets: { kind: 'gauge', help: 'open sockets', labels: ['kind'] },
  'socket.closed': { kind: 'counter', help: 'sockets closed by us', labels: ['kind', 'code'] },
  'socket.backpressure': { kind: 'gauge', help: 'bytes buffered for slow readers', unit: 'By' },
  operations: { kind: 'gauge', help: 'live subscription operations' },
  groups: { kind: 'gauge', help: 'shared executions' },
  frames: { kind: 'counter', help: 'frames sent to subscribers', labels: ['outcome'] },
  'live.recover': { kind: 'counter', help: 'resume requests', labels: ['outcome'] },
  'live.lag': { kind: 'histogram', help: 'writer to gateway', unit: 's' },
  'limit.rejected': { kind: 'counter', help: 'requests refused by a limit', labels: ['limit'] },
  memory: { kind: 'gauge', help: 'memory of the process: heap in use, external to it, resident', unit: 'By', labels: ['kind'] },
  'loop.lag': { kind: 'gauge', help: 'event loop delay, p99 of the last window', unit: 's' },
} as const satisfies Record<string, MetricDefinition>;
export type MetricName = keyof typeof METRICS;
