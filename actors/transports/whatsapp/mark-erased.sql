-- An unlinking counts once: the session is erased, and one that is paired later stays. In: $1 device, $2 the time of the unlinking.
update devices
set settings = settings || jsonb_build_object('erasedAt', $2::float8::bigint)
where id = $1::uuid
