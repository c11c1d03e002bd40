-- Takes a webhook away: nothing is told to it any more. What was told is forgotten with time. $1 tenant  $2 id
update webhooks w set deleted_at = clock_timestamp(), secret_before = null
where w.id = $2::uuid and w.tenant_id = $1::uuid and w.deleted_at is null
returning w.id
