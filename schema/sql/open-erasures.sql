-- People whose erasure is to be gone on with or looked at once more. $1 most
select e.id from erasures e where e.done_at is null and e.created_at < now() - interval '1 minute' order by e.created_at limit $1
