-- In: $1 message. Out: what the transport made of it, or null.
select wire from messages where id = $1::uuid
