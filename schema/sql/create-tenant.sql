-- Makes a tenant; no row when the name is taken. $1 id  $2 name  $3 time zone  $4 most open messages per device
insert into tenants as t (id, name, time_zone, max_backlog) values ($1::uuid, $2, $3, $4::bigint)
on conflict (name) do nothing
returning t.id, t.name, t.time_zone, t.max_backlog, t.default_region, t.consent_required, to_jsonb(t.stop_words) as stop_words,
  to_jsonb(t.start_words) as start_words, t.recipient_cap, t.recipient_days, t.flows_per_minute, floor(extract(epoch from t.created_at) * 1000)::bigint as created_at
