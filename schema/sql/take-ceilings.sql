-- Takes leave to make messages of flows that have a ceiling, their own or their tenant's. $1 flows, each once  $2 wanted of each  $3 their tenants
-- Result: of each flow how many may be made now, and in how many ms more may be had, where that is fewer than wanted. Guarantees:
--  T1 whatever planners ask: in any minute a flow, and a tenant, makes its ceiling at most and what it left unused in the five seconds before
--     (or its last one, where it may make fewer than one in five seconds); more is not saved up;
--  T2 rows are locked in key order and read as last committed; a leave that is not used is lost.
with item as materialized (
  select i.flow_no, i.wanted, f.tenant_id, f.per_minute, t.flows_per_minute, random() as turn
  from unnest($1::integer[], $2::integer[]) as i (flow_no, wanted)
  cross join lateral (select f.tenant_id, f.per_minute from flows f where f.no = i.flow_no limit 1) f
  cross join lateral (select t.flows_per_minute from tenants t where t.id = f.tenant_id limit 1) t
), locked as materialized (
  select c.tenant_id, c.flow_no, c.next_at
  from ceilings c
  where c.tenant_id = any($3::uuid[]) and c.flow_no = any($1::integer[] || 0)
  order by c.tenant_id, c.flow_no
  for no key update of c
), clock as materialized (
  select clock_timestamp() as at from (select count(*) from locked) done
), room as materialized (
  select r.*, floor(extract(epoch from r.at - r.base) / extract(epoch from r.gap) + 0.000001)::integer as most
  from (
    select l.tenant_id, l.flow_no, g.gap, c.at, greatest(l.next_at, c.at - greatest(g.gap, interval '5 seconds')) as base
    from locked l
    cross join clock c
    join (
      select i.tenant_id, i.flow_no, interval '1 minute' / i.per_minute as gap from item i where i.per_minute is not null
      union
      select i.tenant_id, 0, interval '1 minute' / i.flows_per_minute from item i where i.flows_per_minute is not null
    ) g on g.tenant_id = l.tenant_id and g.flow_no = l.flow_no
  ) r
), own as materialized (
  select i.flow_no, i.tenant_id, i.wanted, i.turn, greatest(0, least(i.wanted, r.most)) as most
  from item i left join room r on r.tenant_id = i.tenant_id and r.flow_no = i.flow_no
), granted as materialized (
  select o.flow_no, o.tenant_id, o.wanted,
    greatest(0, least(o.most, r.most - (sum(o.most) over (partition by o.tenant_id order by o.turn) - o.most)))::integer as many
  from own o left join room r on r.tenant_id = o.tenant_id and r.flow_no = 0
), used as materialized (
  select r.tenant_id, r.flow_no, r.base, r.gap, r.at, sum(g.many)::integer as many
  from room r join granted g on g.tenant_id = r.tenant_id and (r.flow_no = 0 or g.flow_no = r.flow_no)
  group by 1, 2, 3, 4, 5
), moved as (
  update ceilings c
  set next_at = u.base + u.many * u.gap
  from used u
  where c.tenant_id = any($3::uuid[]) and c.tenant_id = u.tenant_id and c.flow_no = u.flow_no and u.many > 0
)
select g.flow_no, g.many,
  ceil(greatest(0, case when g.many < g.wanted
    then (select max(extract(epoch from u.base + (u.many + 1) * u.gap - u.at)) from used u where u.tenant_id = g.tenant_id and u.flow_no in (0, g.flow_no))
  end) * 1000)::bigint as wait_ms
from granted g
