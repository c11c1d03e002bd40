-- Takes an erased person out of the next messages of the ledger: number, LID, text and what a provider said of them. $1 erasure  $2 messages looked at, at most
-- Result: no row when it is done or another works on it; else whether the ledger has been looked through. Guarantees:
--  Z3 the message itself stays, with its states, times and place: counts and order hold. One that waits ends at its next intent: SUPPRESSED;
--  Z4 looked through means up to the last message there is; what was being accepted when the person was erased is looked at once more a minute later;
--  Z5 its place is kept in the same commit: a crash repeats nothing.
with job as materialized (
  select e.* from erasures e where e.id = $1::uuid and e.done_at is null for no key update of e skip locked
), looked as materialized (
  select m.id, person_hash(m.tenant_id, m.recipient) = any(j.hashes) or coalesce(person_hash(m.tenant_id, m.recipient_lid) = any(j.hashes), false) as theirs
  from job j
  cross join lateral (
    select m.id, m.tenant_id, m.recipient, m.recipient_lid
    from messages m
    where m.tenant_id = j.tenant_id and m.id > j.at_message
    order by m.id
    limit $2
  ) m
), theirs as materialized (
  select m.id
  from messages m
  where m.id = any(array(select l.id from looked l where l.theirs))
  order by m.id
  for no key update of m
), emptied as (
  update messages m
  set recipient = '', recipient_lid = null, body = '', content = null, wire = null, last_error = null
  from theirs t
  where m.id = any(array(select l.id from looked l where l.theirs)) and m.id = t.id
), letters as (
  update dead_letters d set last_error = null where d.message_id = any(array(select t.id from theirs t))
), keyed as (
  -- a client's key may hold a number
  delete from idempotency_keys k
  using job j
  where (select count(*) from theirs) > 0 and k.tenant_id = j.tenant_id and k.message_id = any(array(select t.id from theirs t))
), tally as materialized (
  select (select count(*) from looked) < $2 as through, (select l.id from looked l order by l.id desc limit 1) as last,
    (select count(*) from theirs) as many
), went as (
  update erasures e
  set at_message = case when t.through then e.first_message else t.last end,
    messages = e.messages + t.many,
    looked_at = case when t.through then now() else e.looked_at end,
    done_at = case when t.through and now() > e.created_at + interval '1 minute' then now() end
  from tally t
  where e.id = (select j.id from job j)
  returning e.messages, t.through
)
select w.through as whole, w.messages from went w
