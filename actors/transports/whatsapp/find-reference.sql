-- The message that another answers or reacts to. In: $1 device, $2 uuid of a ledger message or null, $3 WhatsApp's id of a received one or null.
-- Out: one row {id, ours, body}, or none.
(select m.id::text as id, true as ours, m.body from messages m where m.id = $2::uuid and m.device_id = $1::uuid)
union all
(select i.id, false, i.body from inbound_messages i where i.device_id = $1::uuid and i.id = $3::text)
limit 1
