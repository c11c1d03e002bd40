-- Why messages of a report ended badly or were tried again. $1 tenant  $2 about  $3 grain (s)  $4 subjects (null = all)  $5 from (ms)  $6 until (ms)
-- $7 by step too?  $8 most
select k.subject, case when $7::boolean then floor(extract(epoch from k.start) * 1000)::bigint end as start, k.outcome, k.cause, sum(k.messages)::bigint as messages
from report_causes k
where k.tenant_id = $1::uuid and k.about = $2 and k.grain = $3::integer and ($4::text[] is null or k.subject = any($4::text[]))
  and k.start >= to_timestamp($5::float8 / 1000) and k.start < to_timestamp($6::float8 / 1000)
group by 1, 2, 3, 4
order by 5 desc, 1, 2, 3, 4
limit $8
