-- New chats are wanted again: what was set aside is due now. In: $1 device  $2 epoch. Out: one row {id} when there was a pause to end.
with resumed as (
  update devices d
  set settings = jsonb_set(d.settings, '{standing}', (d.settings -> 'standing') - 'coldUntil' - 'coldWhy'), changed_at = clock_timestamp()
  where d.id = $1::uuid and d.settings -> 'standing' ? 'coldUntil'
    and exists (select from ownership o where o.device_id = $1::uuid and o.epoch = $2::bigint)
  returning d.id
), freed as (
  update messages m set due_at = now()
  where m.device_id = $1::uuid and exists (select from resumed) and m.state = 'QUEUED' and m.seq is null and m.cause = 'COLD_PAUSED' and m.due_at > now()
), forgotten as (
  delete from acquaintances a where a.device_id = $1::uuid and exists (select from resumed)
)
select id from resumed
