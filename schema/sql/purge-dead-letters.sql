-- Forgets dead letters, at most $2, whose messages went with their ledger partition: those with ids below $1, the lowest id that the ledger can
-- hold. Nothing can be redriven of them.
delete from dead_letters l
where l.message_id = any(array(select o.message_id from dead_letters o where o.message_id < $1::uuid order by o.message_id limit $2::int))
returning 1 as gone
