-- In: nothing. Out: for every key id that sealed creds name, how many sessions it seals and some of them: {id, sessions, devices, creds}.
-- The id stands in the blob's header (key-ring.ts): version 1, length, id. What has no such header is damaged, not sealed by another key.
select k.id, count(*)::int as sessions, (array_agg(k.device_id::text order by k.device_id))[1:5] as devices,
  (array_agg(encode(k.creds, 'base64') order by k.device_id))[1:5] as creds
from (
  select s.device_id, s.creds, convert_from(substring(s.creds from 3 for get_byte(s.creds, 1)), 'LATIN1') as id
  from sessions s
  where length(s.creds) > 30 and get_byte(s.creds, 0) = 1 and get_byte(s.creds, 1) between 1 and 64
) k
where k.id ~ '^[A-Za-z0-9._-]{1,64}$'
group by k.id
order by k.id
