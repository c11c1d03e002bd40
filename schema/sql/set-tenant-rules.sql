-- What a tenant promises the people it writes to. $1 tenant  $2 consent required  $3 STOP words  $4 START words (each null = stays)
update tenants t
set consent_required = coalesce($2::boolean, t.consent_required), stop_words = coalesce($3::text[], t.stop_words),
  start_words = coalesce($4::text[], t.start_words)
where t.id = $1::uuid
returning t.id
