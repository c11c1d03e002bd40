-- Ends every connection of the product's processes. Result: one row, their number.
select count(*) filter (where pg_terminate_backend(a.pid))::int as ended
from pg_stat_activity a
where a.application_name like 'flotilla%' and a.pid <> pg_backend_pid()
