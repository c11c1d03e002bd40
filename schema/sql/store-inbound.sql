-- Stores inbound messages once per (device, id), and does what flows make of them. $1 device  $2 id  $3 tenant  $4 sender  $5 sender LID  $6 body
-- $7 received (ms)  $8 media (JSON, null = none)  $9 the whole message as plain words, where it is short enough for a keyword (else null)
-- Result: those stored by this call; the others were there already. Guarantee: a message of a lead is a signal (REPLY, and KEYWORD with its words) once, in the
-- transaction that stores it.
with item as materialized (
  select i.*, to_timestamp(i.received_ms / 1000.0) as received_at
  from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::text[],
    $9::text[])
    as i (device_id, id, tenant_id, sender, sender_lid, body, received_ms, media, words)
), stored as (
  insert into inbound_messages as m (device_id, id, tenant_id, sender, sender_lid, body, received_at, media)
  select i.device_id, i.id, i.tenant_id, i.sender, i.sender_lid, i.body, i.received_at, i.media::jsonb
  from item i
  order by i.device_id, i.id
  on conflict (device_id, id) do nothing
  returning m.device_id, m.id
), said as materialized (
  select i.tenant_id, l.no as lead_no, k.kind, k.value, d.no as device_no
  from stored s
  join item i on i.device_id = s.device_id and i.id = s.id
  cross join lateral (select 1 from flow_rules r where r.tenant_id = i.tenant_id and r.kind in ('REPLY', 'KEYWORD') limit 1) rules
  cross join lateral (
    (select l.no from leads l where l.tenant_id = i.tenant_id and l.phone = i.sender limit 1)
    union
    (select l.no from leads l where l.tenant_id = i.tenant_id and l.lid = i.sender_lid limit 1)
    union
    (select k.no
     from (select n.phone from identities n where n.tenant_id = i.tenant_id and n.lid = i.sender_lid limit 1) n
     cross join lateral (select l.no from leads l where l.tenant_id = i.tenant_id and l.phone = n.phone limit 1) k)
  ) l
  cross join lateral (select d.no from devices d where d.id = i.device_id limit 1) d
  cross join lateral (values ('REPLY', ''), ('KEYWORD', i.words)) as k (kind, value)
  where k.value is not null
), signalled as materialized (
  select flow_signal(array_agg(x.tenant_id), array_agg(x.lead_no), array_agg(x.kind), array_agg(x.value), array_agg(x.device_no)) as came from said x
)
select s.device_id, s.id, g.came from stored s cross join signalled g
