-- About to send: commits the intent of every message that may go now and says of the rest why not. At most one message per device.
-- $1 device  $2 epoch  $3 node  $4 message  $5 pace (ms)  $6 may UNKNOWN be sent again  $7 attempts at which it is DEAD
-- $8 seq of the mailbox entry (null = not said)
-- Result: one row per item, in input order. Guarantees:
--  N1 ownership rows are locked first, in device order, and read as last committed: an epoch that was bumped while this statement waited
--     is seen (a plain `where epoch =` under READ COMMITTED would pass and commit after the bump);
--  N2 then message rows are locked, in id order, and read as last committed;
--  N3 a pass counts the send, sets the pace, and moves the message to SENDING under (epoch, attempt + 1), all or nothing;
--  N4 a suppressed recipient (phone, LID, or the hash that is left of who was erased) ends the message here, in the statement that would have committed its sending;
--  N5 an entry whose message got another seq since (redriven) gives no leave: the message keeps the order of its new place;
--  N6 a message of a flow that does not run now (paused, ended, outside its hours) is taken back here: it ends CANCELLED, and the trigger on the
--     ledger puts its enrolment back in its place (FLOW_PAUSED) or ends it (FLOW_ENDED); one whose outcome is open goes on to its end. A message of a
--     flow that is DONE was redriven since: it goes as if the flow ran; outside its hours it waits, and the flow runs again;
--  N7 what the provider said is obeyed (`settings.standing` of the device, wall ms): nothing goes before `heldUntil` (HELD), and before `coldUntil` a
--     message to somebody who is no acquaintance is set aside (COLD): QUEUED without a seq, due then; no attempt, no pace and no cap is spent on it;
--  N8 a message whose lead has left its flow meanwhile (replied, reached the goal, was taken out) is taken back as in N6: LEAD_STOPPED.
--  N9 the device's own limits are kept: nothing goes in its quiet hours (QUIET), nothing over its cap or the step of its ramp (CAPPED);
--  N10 where the tenant asks for consent, a message to who has no record of it ends here: SUPPRESSED, CONSENT_MISSING;
--  N11 where the tenant has a cap for recipients, the first attempt of a campaign's message is counted with its leave, whatever device sends it, and one over the
--     cap ends here: SUPPRESSED, RECIPIENT_CAPPED. People are counted one after the other in the order of their numbers, so that two statements wait in a row;
--  N12 after a message of a flow with a pace of its own the device waits that long, where its own pace is not slower.
with item as materialized (
  select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::float8[], $6::boolean[], $7::integer[], $8::bigint[])
    with ordinality as i (device_id, epoch, node, message_id, pace_ms, resend_unknown, budget, seq, ord)
), owner as materialized (
  select o.device_id, o.epoch, o.next_send_at, o.day, o.day_sent
  from ownership o
  where o.device_id = any($1::uuid[])
  order by o.device_id
  for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.tenant_id, m.device_id, m.lane, m.seq, m.state, m.attempt, m.budget_from, m.recipient, m.recipient_lid, m.body, m.content,
    m.due_at, m.created_at, m.intent_at, m.traceparent, m.flow_no, m.lead_no, m.last_error
  from messages m
  where m.id = any($4::uuid[]) and (select g.owners from gate g) > 0
  order by m.id
  for no key update of m
), clock as materialized (
  select c.at, (c.at at time zone 'UTC')::date as today from (select clock_timestamp() as at from (select count(*) from message) done) c
), judged as materialized (
  select i.ord, i.device_id, i.epoch as item_epoch, i.node, i.pace_ms, i.message_id, m.state, m.tenant_id, m.attempt, m.intent_at,
    case
      when o.device_id is null then 'FENCED'
      when o.epoch <> i.epoch then 'FENCED' -- fence
      when m.id is null or m.state not in ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN') then 'ENDED'
      when m.seq is null or m.seq <> i.seq then 'ENDED'
      when d.deleted_at is not null then 'DELETED'
      when d.quarantined then 'QUARANTINED'
      when m.state in ('SENDING', 'WRITTEN') or (m.state = 'UNKNOWN' and not i.resend_unknown) then 'UNKNOWN_OUTCOME'
      when d.paused then 'PAUSED'
      when s.hit is not null or m.recipient = '' or c.missing then 'SUPPRESSED'
      when m.attempt - m.budget_from >= i.budget then 'DEAD'
      when m.state = 'QUEUED' and not (f.open and f.going) then 'UNPLANNED'
      when m.due_at > t.at then 'NOT_DUE'
      when (d.settings -> 'standing' ->> 'heldUntil')::float8 > extract(epoch from t.at) * 1000 then 'HELD'
      when d.settings ? 'quietHours' and quiet_until(d.settings -> 'quietHours', t.at) > t.at then 'QUIET'
      when o.day = t.today and o.day_sent >= sends_a_day(d.daily_cap, d.settings -> 'ramp', t.today) then 'CAPPED'
      when m.state = 'QUEUED' and (d.settings -> 'standing' ->> 'coldUntil')::float8 > extract(epoch from t.at) * 1000
        and not exists (select from acquaintances a where a.device_id = m.device_id and a.phone = m.recipient) then 'COLD'
      when o.next_send_at > t.at then 'PACED'
      when c.recipient_cap is not null and f.kind = 'CAMPAIGN' and m.attempt = 0 then 'COUNT'
      else 'PASS'
    end as judged,
    m.due_at, o.next_send_at, t.at, t.today, f.state as flow_state, f.going, f.pace_ms as flow_pace_ms, s.hit is not null or m.recipient = '' as stopped, c.missing, m.recipient,
    c.recipient_cap, c.recipient_days,
    to_timestamp((d.settings -> 'standing' ->> 'heldUntil')::float8 / 1000) as held_until,
    to_timestamp((d.settings -> 'standing' ->> 'coldUntil')::float8 / 1000) as cold_until,
    case when d.settings ? 'quietHours' then quiet_until(d.settings -> 'quietHours', t.at) end as quiet_until
  from item i
  cross join clock t
  left join owner o on o.device_id = i.device_id
  left join message m on m.id = i.message_id and m.device_id = i.device_id
  left join devices d on d.id = any($1::uuid[]) and d.id = i.device_id
  left join lateral (
    (select 1 as hit from suppressions s where s.tenant_id = m.tenant_id and s.phone = m.recipient limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = m.tenant_id and s.lid = m.recipient_lid limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = m.tenant_id and s.hash = person_hash(m.tenant_id, m.recipient) limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = m.tenant_id and s.hash = person_hash(m.tenant_id, m.recipient_lid) limit 1)
    limit 1
  ) s on true
  left join lateral (
    select w.recipient_cap, w.recipient_days, w.consent_required
      and not exists (select from leads l where l.tenant_id = w.id and l.phone = m.recipient and l.consent_at is not null)
      and not exists (select from leads l where l.tenant_id = w.id and l.lid = m.recipient_lid and l.consent_at is not null) as missing
    from tenants w where w.id = m.tenant_id and (w.consent_required or w.recipient_cap is not null) limit 1
  ) c on true
  left join lateral (
    select f.state, f.kind, f.pace_min_ms + random() * (f.pace_max_ms - f.pace_min_ms) as pace_ms, flow_is_open(case f.state when 'DONE' then 'RUNNING' else f.state end, f.hours, t.at) as open,
      coalesce((
        select e.message_id = m.id and not flow_stopped(e.cause) from enrolments e where e.flow_no = m.flow_no and e.lead_no = m.lead_no limit 1
      ), false) as going
    from flows f where f.no = m.flow_no limit 1
  ) f on true
), counted as materialized (
  select j.ord, count_recipient(j.tenant_id, j.recipient, j.at, j.recipient_cap, j.recipient_days) as leave
  from (select * from judged j where j.judged = 'COUNT' order by j.tenant_id, j.recipient) j
), verdict as materialized (
  select j.*, case when j.judged <> 'COUNT' then j.judged when c.leave then 'PASS' else 'SUPPRESSED' end as verdict
  from judged j left join counted c on c.ord = j.ord
), owning as (
  update ownership o
  set next_send_at = case when v.verdict = 'PASS' then v.at + greatest(v.pace_ms, v.flow_pace_ms) * interval '1 millisecond' else o.next_send_at end,
    day = case when v.verdict = 'PASS' then v.today else o.day end,
    day_sent = case when v.verdict <> 'PASS' then o.day_sent when o.day = v.today then o.day_sent + 1 else 1 end,
    last_message_id = v.message_id,
    ended = o.ended + case when v.verdict = 'PASS' then 0 else 1 end
  from verdict v
  where o.device_id = any($1::uuid[]) and o.device_id = v.device_id and v.verdict in ('PASS', 'SUPPRESSED', 'DEAD', 'UNPLANNED')
), moved as (
  update messages m
  set state = case v.verdict when 'PASS' then 'SENDING'::message_state when 'COLD' then 'QUEUED' when 'DEAD' then 'DEAD' when 'UNPLANNED' then 'CANCELLED'
      else 'SUPPRESSED' end,
    seq = case when v.verdict = 'COLD' then null else m.seq end,
    due_at = case when v.verdict = 'COLD' then v.cold_until else m.due_at end,
    attempt = m.attempt + case when v.verdict = 'PASS' then 1 else 0 end,
    epoch = v.item_epoch,
    node = v.node,
    intent_at = case when v.verdict = 'PASS' then v.at else m.intent_at end,
    ended_at = case when v.verdict in ('PASS', 'COLD') then null else v.at end,
    cause = case v.verdict when 'PASS' then null when 'COLD' then 'COLD_PAUSED' when 'DEAD' then 'RETRY_BUDGET'
      when 'SUPPRESSED' then case when v.stopped then 'RECIPIENT_SUPPRESSED' when v.missing then 'CONSENT_MISSING' else 'RECIPIENT_CAPPED' end
      else case when v.flow_state = 'CANCELLED' then 'FLOW_ENDED' when not v.going then 'LEAD_STOPPED' else 'FLOW_PAUSED' end end
  from verdict v
  where m.id = any($4::uuid[]) and m.id = v.message_id and v.verdict in ('PASS', 'COLD', 'SUPPRESSED', 'DEAD', 'UNPLANNED')
  returning m.id, m.tenant_id, m.device_id, m.lane, m.seq, m.state, m.attempt, m.recipient, m.recipient_lid, m.body, m.content, m.traceparent,
    m.created_at, m.cause, m.last_error
), buried as (
  insert into dead_letters (message_id, tenant_id, device_id, state, cause, attempts, last_error)
  select m.id, m.tenant_id, m.device_id, m.state, m.cause, m.attempt, m.last_error from moved m where m.state = 'DEAD'
  on conflict (message_id) do update
    set state = excluded.state, cause = excluded.cause, attempts = excluded.attempts, last_error = excluded.last_error,
      created_at = now(), redriven_at = null
)
select
  v.verdict,
  v.state as was,
  ceil(extract(epoch from case v.verdict
    when 'PACED' then v.next_send_at
    when 'CAPPED' then (v.today + 1)::timestamp at time zone 'UTC'
    when 'NOT_DUE' then v.due_at
    when 'HELD' then v.held_until
    when 'QUIET' then v.quiet_until
    when 'UNKNOWN_OUTCOME' then coalesce(v.intent_at, v.at)
  end) * 1000)::bigint as moment,
  floor(extract(epoch from v.at) * 1000)::bigint as said_at,
  v.tenant_id,
  coalesce(m.attempt, v.attempt) as attempt,
  m.cause,
  m.id, m.lane, m.seq, m.recipient, m.recipient_lid, m.body, m.content, m.traceparent,
  floor(extract(epoch from m.created_at) * 1000)::bigint as created_at
from verdict v
left join moved m on m.id = v.message_id
order by v.ord
