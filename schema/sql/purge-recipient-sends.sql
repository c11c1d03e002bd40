-- Forgets people whom no campaign wrote to since $1 (wall ms), at most $2.
delete from recipient_sends r
where r.ctid = any(array(
    select o.ctid from recipient_sends o where o.last_at < to_timestamp($1::float8 / 1000) order by o.last_at limit $2::int
  ))
returning 1 as gone
