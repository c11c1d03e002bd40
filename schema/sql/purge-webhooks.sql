-- Forgets what was told to webhooks before $1 (wall ms), at most $2; what still waits too. The oldest are looked at first: numbers rise with time.
delete from webhook_deliveries d
where d.no = any(array(
    select o.no from (select x.no, x.at from webhook_deliveries x order by x.no limit $2::int) o where o.at < to_timestamp($1::float8 / 1000)
  ))
returning 1 as gone
