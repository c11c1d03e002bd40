-- Forgets idempotency keys made before $1 (wall ms), at most $2: a repeat after that is a new message.
delete from idempotency_keys k
where k.ctid = any(array(
    select o.ctid from idempotency_keys o where o.created_at < to_timestamp($1::float8 / 1000) order by o.created_at limit $2::int
  ))
returning 1 as gone
