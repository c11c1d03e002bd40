-- After Postgres was restored from a backup: lifts every epoch above any fence that was installed since the backup was made. Redis may hold
-- fences up to as many ownerships above the restored epochs as there were since. $1 by how much
update ownership set epoch = epoch + $1::bigint, node = null
