-- A page of all tenants, oldest first. $1 after this id (null = from the start)  $2 most
select t.id, t.name, t.time_zone, t.max_backlog, t.default_region, t.consent_required, to_jsonb(t.stop_words) as stop_words,
  to_jsonb(t.start_words) as start_words, t.recipient_cap, t.recipient_days, t.flows_per_minute, floor(extract(epoch from t.created_at) * 1000)::bigint as created_at
from tenants t
where t.id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
order by t.id
limit $2
