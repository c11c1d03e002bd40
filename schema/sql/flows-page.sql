-- A page of a tenant's flows of one kind, newest first. $1 tenant  $2 kind  $3 before this number (null = from the start)  $4 most  $5 only these ids
select f.no, f.id, f.tenant_id, f.kind, f.name, f.version, f.state, f.lane, f.audience, f.devices -> 'ids' as device_ids, f.hours,
  f.enrol_from is not null as enrolling, f.enrolled, n.id as next_flow_id, f.reentry, f.reentry_days, s.id as superseded_by, f.pace_min_ms, f.pace_max_ms, f.per_minute, f.stagger_ms,
  coalesce(f.variants, '[]') as variants,
  floor(extract(epoch from f.created_at) * 1000)::bigint as created_at, floor(extract(epoch from f.start_at) * 1000)::bigint as start_at,
  floor(extract(epoch from f.started_at) * 1000)::bigint as started_at, floor(extract(epoch from f.ended_at) * 1000)::bigint as ended_at,
  (select coalesce(jsonb_agg(jsonb_build_object('does', r.does, 'kind', r.kind, 'value', r.value) order by r.does, r.kind, r.value), '[]')
   from flow_rules r where r.flow_no = f.no) as rules,
  (select jsonb_agg(jsonb_build_object('delayMs', s.delay_ms, 'template', s.template) order by s.position) from steps s where s.flow_no = f.no) as steps
from flows f
left join flows n on n.no = f.next_flow_no
left join flows s on s.no = f.superseded_by
where f.tenant_id = $1::uuid and ($2::text is null or f.kind = $2::text) and ($3::integer is null or f.no < $3::integer)
  and ($5::uuid[] is null or f.id = any($5::uuid[]))
order by f.no desc
limit $4
