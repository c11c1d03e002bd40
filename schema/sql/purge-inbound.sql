-- Forgets inbound messages received before $1 (wall ms), at most $2. No device repeats one after so long.
delete from inbound_messages i
where i.ctid = any(array(
    select o.ctid from inbound_messages o where o.received_at < to_timestamp($1::float8 / 1000) order by o.received_at limit $2::int
  ))
returning 1 as gone
