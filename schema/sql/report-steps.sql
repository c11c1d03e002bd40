-- Steps of a report, in the order of subject and start, so that a long one is read in pages.
-- $1 tenant  $2 about  $3 grain (s)  $4 subject (null = all of the kind)  $5 from (ms)  $6 until (ms)  $7 subject  $8 start (ms) of the last one seen, or null  $9 most
select s.subject, floor(extract(epoch from s.start) * 1000)::bigint as start, s.sent, s.delivered, s.read, s.failed, s.dead, s.cancelled, s.suppressed,
  s.retried, s.taken_back, array_to_string(s.processing, ',') as processing, array_to_string(s.latency, ',') as latency
from report_steps s
where s.tenant_id = $1::uuid and s.about = $2 and s.grain = $3::integer and ($4::text is null or s.subject = $4)
  and s.start >= to_timestamp($5::float8 / 1000) and s.start < to_timestamp($6::float8 / 1000)
  and ($7::text is null or (s.subject, s.start) > ($7, to_timestamp($8::float8 / 1000)))
order by s.subject, s.start
limit $9
