-- Words of their own that tenants have for stop and start. $1 tenants. Result: those that have some.
select t.id, to_jsonb(t.stop_words) as stop, to_jsonb(t.start_words) as start
from tenants t
where t.id = any($1::uuid[]) and (t.stop_words <> '{}' or t.start_words <> '{}')
