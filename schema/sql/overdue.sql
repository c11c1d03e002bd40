-- Attempts whose outcome has been open for too long, for transports that may not repeat them. Reads only: the result statement decides.
-- $1 devices  $2 attempts made longer ago than this (ms, by this server's clock)
select m.id, m.device_id, m.tenant_id, m.epoch, m.attempt
from messages m
where m.device_id = any($1::uuid[])
  and m.state in ('SENDING', 'WRITTEN', 'UNKNOWN')
  and m.intent_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
