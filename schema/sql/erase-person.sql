-- Erases a person from everything but the ledger of messages, and notes that the ledger is to be looked through. One transaction: all of it or nothing.
-- $1 erasure  $2 tenant  $3 phone (E.164)  $4 first message that may have been accepted while this ran
-- Result: one row: how many leads and messages from them are gone. Guarantees:
--  Z1 from its commit on nothing is accepted for, planned for or sent to the number or a LID it is known by: accept, the planner and every intent ask for the hash;
--  Z2 the number and the LIDs stand nowhere in the rows that are kept. What others wrote about the person (attributes of other leads, texts to others) is theirs.
with lid as materialized (
  select i.lid from identities i where i.tenant_id = $2::uuid and i.phone = $3::text and i.lid is not null
  union
  select l.lid from leads l where l.tenant_id = $2::uuid and l.phone = $3::text and l.lid is not null
), own as materialized (
  select array(select l.lid from lid l) as lids,
    -- as they stand in keys and texts of others: no plus, no server
    array(select ltrim($3::text, '+') union select split_part(l.lid, '@', 1) from lid l) as names,
    array(select d.id from devices d where d.tenant_id = $2::uuid) as devices
), person as materialized (
  select l.no from leads l where l.tenant_id = $2::uuid and l.phone = $3::text
  union
  select l.no from lid x cross join lateral (select l.no from leads l where l.tenant_id = $2::uuid and l.lid = x.lid limit 1) l
), noted as (
  insert into erasures (id, tenant_id, hashes, first_message)
  select $1::uuid, $2::uuid,
    array(select person_hash($2::uuid, w.who) from (select $3::text as who union select l.lid from lid l) w), $4::uuid
), left_flows as materialized (
  select flow_end(array_agg(f.no), array_agg(p.no), array_agg('ERASED'::text)) as ended
  from person p
  join flows f on f.tenant_id = $2::uuid
), led as (
  delete from leads l using person p, left_flows x where l.no = p.no returning l.no
), lifted as (
  delete from suppressions s using own w where s.tenant_id = $2::uuid and (s.phone = $3::text or s.lid = any(w.lids))
), stopped as (
  insert into suppressions (id, tenant_id, hash, reason, source)
  select gen_random_uuid(), $2::uuid, person_hash($2::uuid, w.who), 'ERASED', 'erasure'
  from (select $3::text as who union select l.lid from lid l) w
  on conflict do nothing
), known as (
  delete from identities i using own w where i.tenant_id = $2::uuid and (i.phone = $3::text or i.lid = any(w.lids))
), acquainted as (
  delete from acquaintances a using own w where a.device_id = any(w.devices) and a.phone = $3::text
), counted as (
  delete from recipient_sends r where r.tenant_id = $2::uuid and r.recipient = $3::text
), written as (
  delete from inbound_messages m using own w
  where m.device_id = any(w.devices) and m.tenant_id = $2::uuid and (m.sender = $3::text or m.sender = any(w.lids) or m.sender_lid = any(w.lids))
  returning 1
), ciphered as (
  -- keys of the ciphers between a device and the person: the device makes new ones should they write again
  delete from session_keys k using own w
  where k.device_id = any(w.devices) and exists (select from unnest(w.names) n where k.id ~ ('(^|[^0-9])' || n || '([^0-9]|$)'))
), audited as (
  update audit a
  set subject = regexp_replace(a.subject, w.pattern, 'erased', 'g'), detail = regexp_replace(a.detail::text, w.pattern, 'erased', 'g')::jsonb
  from (select '\+?(' || array_to_string(o.names, '|') || ')(@[a-z.]+)?' as pattern from own o) w
  where a.tenant_id = $2::uuid and (a.subject ~ w.pattern or a.detail::text ~ w.pattern)
), faulted as (
  update lead_import_faults f
  set message = regexp_replace(f.message, w.pattern, 'erased', 'g')
  from (select '\+?(' || array_to_string(o.names, '|') || ')' as pattern from own o) w
  where f.import_id = any(array(select i.id from lead_imports i where i.tenant_id = $2::uuid)) and f.message ~ w.pattern
)
select (select count(*) from led)::integer as leads, (select count(*) from written)::integer as inbound
