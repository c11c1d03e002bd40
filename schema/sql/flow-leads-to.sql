-- Do leads that come to a sequence ever come to one of that name, by any version of what follows? $1 tenant  $2 sequence  $3 name
with recursive walk (name, next_no) as (
  select f.name, f.next_flow_no from flows f where f.tenant_id = $1::uuid and f.id = $2::uuid
  union
  select v.name, v.next_flow_no
  from walk w
  join flows n on n.no = w.next_no
  join flows v on v.tenant_id = n.tenant_id and v.kind = n.kind and v.name = n.name
)
select exists (select from walk w where w.name = $3::text) as loops
