-- In: $1 device, $2 WhatsApp message id. Out: {id, body, wire} of the ledger message that has this WhatsApp id, or no row.
-- The WhatsApp id is a hash of the ledger id (schema/domain/ids.ts, whatsappIdOf), so the device's last 5,000 ids are hashed and compared,
-- newest first, from the index alone. Asked only for ids this process did not send itself: after a restart or a takeover.
select m.id, m.body, m.wire
from messages m
where m.id = (
  select recent.id
  from (select r.id from messages r where r.device_id = $1::uuid order by r.id desc limit 5000) recent
  where '3EB0' || upper(substr(encode(sha256(convert_to(recent.id::text, 'UTF8')), 'hex'), 1, 18)) = $2::text
  limit 1
)
