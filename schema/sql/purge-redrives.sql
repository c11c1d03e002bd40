-- Forgets redrives that ended before $1 (wall ms), at most $2.
delete from redrives r
where r.ctid = any(array(
    select o.ctid from redrives o where o.ended_at < to_timestamp($1::float8 / 1000) order by o.ended_at limit $2::int
  ))
returning 1 as gone
