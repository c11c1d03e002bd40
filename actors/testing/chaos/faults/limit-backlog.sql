-- The most messages that a device of any tenant may have waiting.
-- $1 messages
update tenants
set max_backlog = $1::bigint
