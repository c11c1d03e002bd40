-- Devices whose owner began at this moment or later.
-- $1 ms since 1970
-- Result: one row, their number.
select count(*)::int as devices
from ownership o
where o.node is not null and o.acquired_at >= to_timestamp($1::float8 / 1000)
