-- One piece of an upload. $1 id  $2 number of the piece, from 0
select c.bytes from media_chunks c where c.upload_id = $1::uuid and c.no = $2::integer
