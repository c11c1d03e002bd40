-- The provider wants no new chats from a device: writes down until when, and who it knows. In: $1 device  $2 epoch  $3 until (wall ms)  $4 why
-- Out: one row {id}, unless somebody else owns the device. People known: who wrote to it, or got one of its last 5,000 messages.
with paused as (
  update devices d
  set settings = jsonb_set(d.settings, '{standing}',
      coalesce(d.settings -> 'standing', '{}') || jsonb_build_object('coldUntil', $3::float8::bigint, 'coldWhy', $4::text)),
    changed_at = clock_timestamp()
  where d.id = $1::uuid and exists (select from ownership o where o.device_id = $1::uuid and o.epoch = $2::bigint)
  returning d.id
), known as (
  select i.sender as phone from inbound_messages i where i.device_id = $1::uuid and i.sender like '+%'
  union
  select r.recipient
  from (select m.recipient, m.state from messages m where m.device_id = $1::uuid order by m.id desc limit 5000) r
  where r.state in ('DELIVERED', 'READ')
), kept as (
  insert into acquaintances (device_id, phone) select p.id, k.phone from paused p cross join known k on conflict do nothing
)
select id from paused
