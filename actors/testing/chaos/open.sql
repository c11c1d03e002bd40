-- Messages that have not ended.
-- Result: one row, their number.
select count(*)::int as messages
from messages m
where m.state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')
