-- Ends every connection of clients but our own. Result: one row, their number.
select count(*) filter (where pg_terminate_backend(a.pid))::int as ended
from pg_stat_activity a
where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
