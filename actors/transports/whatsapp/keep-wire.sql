-- Keeps what the transport made of a message, for the next attempt and for a recipient who asks again. In: $1 message, $2 bytes (base64).
update messages set wire = decode($2::text, 'base64') where id = $1::uuid and wire is null
