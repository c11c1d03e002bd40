-- Some of the messages that have not ended, oldest first.
-- $1 how many
-- Result: one row each.
select m.id, m.device_id as device, m.lane, m.seq, m.state, m.attempt, o.node, o.epoch
from messages m
join ownership o on o.device_id = m.device_id
where m.state in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN')
order by m.id
limit $1::int
