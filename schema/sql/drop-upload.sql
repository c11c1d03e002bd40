-- Forgets an upload that did not become whole. $1 id
delete from media_uploads u where u.id = $1::uuid and u.bytes is null
