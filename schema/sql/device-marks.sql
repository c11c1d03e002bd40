-- The next devices of a tenant in id order, with as little of each as tells whether a filter fits: a fleet is looked through in a few answers.
-- $1 tenant  $2 after this id (null = from the start)  $3 transport (null = any)  $4 what names contain, in lower case (null = any)  $5 most looked at
-- Result: one row. `marks`: one character each (q quarantined, p paused, - neither) and the id, joined by commas, null when none fits; `names`: theirs as a JSON
-- list, when $4 is given; `until`: the last id looked at, null when there are no more.
with looked as materialized (
  select d.id, d.name, d.transport, d.paused, d.quarantined
  from devices d
  where d.tenant_id = $1::uuid and d.deleted_at is null and d.id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
  order by d.id
  limit $5::integer
), fitting as (
  select
    string_agg(case when l.quarantined then 'q' when l.paused then 'p' else '-' end || l.id::text, ',' order by l.id) as marks,
    case when $4::text is not null then json_agg(l.name order by l.id)::text end as names
  from looked l
  where ($3::text is null or l.transport::text = $3::text)
    -- what letters beyond ASCII are in lower case is for the caller to say
    and ($4::text is null or strpos(lower(l.name), $4::text) > 0 or octet_length(l.name) <> length(l.name))
)
select f.marks, f.names,
  case when (select count(*) from looked) = $5::integer then (select l.id from looked l order by l.id desc limit 1) end as until
from fitting f
