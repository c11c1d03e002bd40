-- The flows that run, with their steps: what a node plans by. Their number is that of campaigns and sequences, not of leads.
select f.no, f.tenant_id, f.lane, flow_is_open(f.state, f.hours, now()) as open,
  f.per_minute is not null or (select t.flows_per_minute from tenants t where t.id = f.tenant_id) is not null as capped,
  (select jsonb_agg(s.template order by s.position) from steps s where s.flow_no = f.no) as templates,
  coalesce(jsonb_path_query_array(f.variants, '$[*].template'), '[]') as variants
from flows f
where f.state = 'RUNNING'
order by f.no
