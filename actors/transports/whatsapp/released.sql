-- In: $1 devices. Out: one row {id} per device that is not in quarantine (any more).
select id from devices where id = any($1::uuid[]) and not quarantined and deleted_at is null
