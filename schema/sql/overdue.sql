-- Attempts whose outcome has been open for too long, for transports that may not repeat them. Reads only: the result statement decides.
-- $1 devices  $2 attempts made before this (wall ms)
select m.id, m.device_id, m.tenant_id, m.epoch, m.attempt
from messages m
where m.device_id = any($1::uuid[])
  and m.state in ('SENDING', 'WRITTEN', 'UNKNOWN')
  and m.intent_at < to_timestamp($2::float8 / 1000.0)
