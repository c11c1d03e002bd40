-- In: $1 device, $2 paired, $3 its phone number (E.164), or null = keep what is there. Out: one row {id} if that changed anything.
update devices
set paired = $2::boolean, phone = coalesce($3::text, phone), changed_at = now(),
  -- what was said of an account goes with it
  settings = case when $2::boolean then settings else settings - 'standing' end
where id = $1::uuid
  and (paired, coalesce(phone, '')) is distinct from ($2::boolean, coalesce($3::text, phone, ''))
returning id
