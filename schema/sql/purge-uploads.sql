-- Forgets uploads whose time is over, at most $1; their pieces go with them. Result: which, and where their bytes are.
delete from media_uploads u
where u.id = any(array(select o.id from media_uploads o where o.expires_at <= now() order by o.expires_at limit $1::integer))
returning u.id, u.store
