-- Which of these devices no longer have the link token they said hello with. $1 devices  $2 SHA-256 of their tokens
select h.id, d.id is null or d.deleted_at is not null as gone
from unnest($1::uuid[], $2::bytea[]) as h (id, hash)
left join devices d on d.id = h.id
where d.id is null or d.deleted_at is not null or d.link_token_hash is distinct from h.hash
