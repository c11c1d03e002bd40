-- Tenants by id, or all. $1 ids (null = all)
select t.id, t.name, t.time_zone, t.max_backlog, t.default_region, t.consent_required, to_jsonb(t.stop_words) as stop_words,
  to_jsonb(t.start_words) as start_words, t.recipient_cap, t.recipient_days, t.flows_per_minute, floor(extract(epoch from t.created_at) * 1000)::bigint as created_at
from tenants t
where $1::uuid[] is null or t.id = any($1::uuid[])
order by t.id
