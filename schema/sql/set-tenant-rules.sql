-- What a tenant promises the people it writes to. $1 tenant  $2 consent required  $3 STOP words  $4 START words (each null = stays)
-- $5 is the cap for recipients to change  $6 messages  $7 days (both null = none)
-- $8 is the ceiling of its flows to change  $9 messages a minute (null = none)
with bounded as (
  insert into ceilings (tenant_id, flow_no, next_at) select $1::uuid, 0, now() where $9::integer is not null on conflict do nothing
)
update tenants t
set consent_required = coalesce($2::boolean, t.consent_required), stop_words = coalesce($3::text[], t.stop_words),
  start_words = coalesce($4::text[], t.start_words),
  recipient_cap = case when $5::boolean then $6::integer else t.recipient_cap end,
  recipient_days = case when $5::boolean then $7::integer else t.recipient_days end,
  flows_per_minute = case when $8::boolean then $9::integer else t.flows_per_minute end
where t.id = $1::uuid
returning t.id
