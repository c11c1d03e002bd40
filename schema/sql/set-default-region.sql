-- Where numbers without a country code are of. $1 tenant  $2 ISO 3166 code of two letters, or null
update tenants t set default_region = $2 where t.id = $1::uuid returning t.id
