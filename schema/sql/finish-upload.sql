-- All of it is there. $1 id  $2 bytes  $3 how long it is kept (ms). Result: its end (ms), or none when it took too long.
update media_uploads u set bytes = $2::bigint, expires_at = now() + $3::float8 * interval '1 millisecond'
where u.id = $1::uuid and u.bytes is null and u.expires_at > now()
returning floor(extract(epoch from u.expires_at) * 1000)::bigint as expires_at
