-- One piece of an upload. $1 id  $2 number of the piece, from 0  $3 bytes
insert into media_chunks (upload_id, no, bytes) values ($1::uuid, $2::integer, $3::bytea)
