-- Makes a flow with its steps. $1 id  $2 tenant  $3 kind  $4 name  $5 lane  $6 audience  $7 devices  $8 hours (JSON or null)  $9 start (ms or null)
-- $10 next flow (id or null)  $11 delays (ms)  $12 templates  $13 re-entry  $14 its days
-- $15 what the rules do  $16 their kinds  $17 their values  $18 least and  $19 most pause between two of its messages on a device (ms)  $20 messages a minute
-- $21 its devices begin within so many ms  $22 variants (JSON or null)
-- Result: no row when the tenant has one of that kind and name. A sequence of a name that exists becomes its next version.
with next as (
  select n.no from flows n where n.id = $10::uuid and n.tenant_id = $2::uuid
), made as (
  insert into flows (id, tenant_id, kind, name, version, lane, audience, devices, hours, start_at, next_flow_no, reentry, reentry_days,
    pace_min_ms, pace_max_ms, per_minute, stagger_ms, variants)
  select $1::uuid, $2::uuid, $3::text, $4::text,
    case when $3::text = 'SEQUENCE'
      then 1 + coalesce((select max(f.version) from flows f where f.tenant_id = $2::uuid and f.kind = $3::text and f.name = $4::text), 0)
      else 1
    end,
    $5::lane, $6::text::jsonb, $7::text::jsonb, $8::text::jsonb, to_timestamp($9::float8 / 1000.0), (select n.no from next n), $13::text, $14::integer,
    $18::integer, $19::integer, $20::integer, $21::integer, $22::text::jsonb
  on conflict (tenant_id, kind, name, version) do nothing
  returning no
), stepped as (
  insert into steps (flow_no, position, delay_ms, template)
  select m.no, s.position, s.delay_ms, s.template
  from made m cross join unnest($11::bigint[], $12::text[]) with ordinality as s (delay_ms, template, position)
), ruled as (
  insert into flow_rules (flow_no, tenant_id, does, kind, value)
  select m.no, $2::uuid, r.does, r.kind, r.value from made m cross join unnest($15::text[], $16::text[], $17::text[]) as r (does, kind, value)
), bounded as (
  insert into ceilings (tenant_id, flow_no, next_at) select $2::uuid, m.no, now() from made m where $20::integer is not null
)
select m.no from made m
