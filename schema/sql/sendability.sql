-- What the ledger knows about why devices do or do not send. $1 tenant  $2 ids
-- Result: one row per device of the tenant. `day_ends` is when the count of the day starts anew (UTC).
select d.id, o.epoch, o.node,
  (select coalesce(sum(c.accepted), 0) from lane_counters c where c.device_id = d.id)::bigint - o.ended as backlog,
  case when isfinite(o.next_send_at) then floor(extract(epoch from o.next_send_at) * 1000)::bigint end as next_send_at,
  case when o.day = (now() at time zone 'UTC')::date then o.day_sent else 0 end as sent_today,
  sends_a_day(d.daily_cap, d.settings -> 'ramp', (now() at time zone 'UTC')::date) as sends_a_day,
  floor(extract(epoch from quiet_until(d.settings -> 'quietHours', now())) * 1000)::bigint as quiet_until,
  floor(extract(epoch from ((now() at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC') * 1000)::bigint as day_ends
from devices d
join ownership o on o.device_id = any($2::uuid[]) and o.device_id = d.id
where d.id = any($2::uuid[]) and d.tenant_id = $1::uuid and d.deleted_at is null
