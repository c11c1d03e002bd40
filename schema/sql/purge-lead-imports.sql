-- Forgets what became of files of leads begun before $1 (wall ms), at most $2 of them; the leads stay.
delete from lead_imports i
where i.id = any(array(
    select o.id from lead_imports o where o.started_at < to_timestamp($1::float8 / 1000) order by o.started_at limit $2::int
  ))
returning 1 as gone
