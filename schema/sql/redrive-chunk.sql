-- Puts the next dead letters of one running redrive back: QUEUED, due now, under their own ids, with a seq at the end of their lane and a fresh attempt
-- budget. One autocommit statement. $1 letters looked at at most  $2 put back at most
-- Result: no row when no redrive is to go on now, or others are at work on all that are; else one row for each message put back, or one without a
-- message. Guarantees:
--  D1 a redrive is one caller's at a time (its row is locked); its place and what was put back are one commit, so it goes on where a dead caller left it;
--  D2 letters are taken oldest first, and messages of one lane get their seqs in the order they had before: later chunks come behind;
--  D3 not put back: who is suppressed (his letter stays), what is no longer kept or was put back by another, messages of deleted devices and of
--     cancelled flows, and, unless asked for by its cause, what may have arrived (OUTCOME_UNKNOWN);
--  D4 letters younger than the order are not looked at: what dies again is not put back again;
--  D5 locks: ownership in device order, messages in id order, then counters in (device, lane) order. Who holds counters waits for none of the others.
with job as materialized (
  select r.*, case when r.per_minute is null then $2::integer else least($2::integer, greatest(1, r.per_minute / 60)) end as most
  from redrives r
  where r.state = 'RUNNING' and r.next_at <= clock_timestamp()
  order by r.next_at
  limit 1
  for no key update of r skip locked
), looked as materialized (
  select l.message_id, l.device_id, l.created_at,
    (j.states is null or l.state = any(j.states))
      and case when j.causes is null then l.cause <> 'OUTCOME_UNKNOWN' else l.cause = any(j.causes) end
      and (j.device_ids is null or l.device_id = any(j.device_ids))
      and (j.flow_no is null or l.flow_no = j.flow_no)
      and l.redrives < j.redrives_below as fits,
    count(*) over () as seen
  from job j
  cross join lateral (
    select * from dead_letters l
    where l.tenant_id = j.tenant_id and l.redriven_at is null and (l.created_at, l.message_id) > (j.at_created, j.at_message)
      and l.created_at >= coalesce(j.since, '-infinity') and l.created_at < j.until
    order by l.created_at, l.message_id
    limit $1
  ) l
), letter as materialized (
  select l.* from looked l where l.fits order by l.created_at, l.message_id limit (select j.most from job j)
), owner as materialized (
  select o.device_id from ownership o where o.device_id = any(array(select l.device_id from letter l)) order by o.device_id for no key update of o
), gate as materialized (
  select count(*) as owners from owner
), message as materialized (
  select m.id, m.tenant_id, m.device_id, m.lane, m.seq, m.state, m.recipient, m.recipient_lid, m.flow_no
  from messages m
  where m.id = any(array(select l.message_id from letter l)) and (select g.owners from gate g) > 0
  order by m.id
  for no key update of m
), judged as materialized (
  select m.id, m.device_id, m.lane, m.seq, l.created_at, a.hit is not null or b.hit is not null as suppressed,
    m.state in ('DEAD', 'FAILED') and m.tenant_id = j.tenant_id and d.id is not null and coalesce(f.state, 'RUNNING') <> 'CANCELLED' as able
  from job j
  cross join letter l
  join message m on m.id = l.message_id
  left join lateral (select d.id from devices d where d.id = m.device_id and d.deleted_at is null limit 1) d on true
  left join lateral (select f.state from flows f where f.no = m.flow_no limit 1) f on true
  left join lateral (select 1 as hit from suppressions s where s.tenant_id = j.tenant_id and s.phone = m.recipient limit 1) a on true
  left join lateral (select 1 as hit from suppressions s where s.tenant_id = j.tenant_id and s.lid = m.recipient_lid limit 1) b on true
), locked as materialized (
  select c.device_id, c.lane, c.next_seq
  from lane_counters c
  where c.device_id = any(array(select w.device_id from judged w where w.able and not w.suppressed))
    and (c.device_id, c.lane) in (select w.device_id, w.lane from judged w where w.able and not w.suppressed)
  order by c.device_id, c.lane
  for no key update of c
), numbered as materialized (
  select w.id, w.device_id, w.lane,
    k.next_seq - 1 + row_number() over (partition by w.device_id, w.lane order by w.seq, w.created_at, w.id) as seq
  from judged w
  join locked k on k.device_id = w.device_id and k.lane = w.lane
  where w.able and not w.suppressed
), counted as (
  update lane_counters c
  set next_seq = c.next_seq + n.many
  from (select device_id, lane, count(*) as many from numbered group by device_id, lane) n
  where c.device_id = any(array(select w.device_id from judged w)) and c.device_id = n.device_id and c.lane = n.lane
), moved as (
  update messages m
  set state = 'QUEUED', seq = n.seq, due_at = clock_timestamp(), ended_at = null, cause = null, budget_from = m.attempt
  from numbered n
  where m.id = any(array(select w.id from judged w)) and m.id = n.id
  returning m.id, m.device_id, m.lane, m.seq, m.attempt, m.traceparent
), marked as (
  update dead_letters l set redriven_at = clock_timestamp(), redrives = l.redrives + 1
  from moved m
  where l.message_id = any(array(select w.id from judged w)) and l.message_id = m.id
), owning as (
  update ownership o set ended = o.ended - n.many
  from (select device_id, count(*) as many from moved group by device_id) n
  where o.device_id = any(array(select l.device_id from letter l)) and o.device_id = n.device_id
), tally as materialized (
  select (select count(*) from moved) as moved, (select count(*) from judged w where w.suppressed) as suppressed, (select count(*) from letter) as letters,
    -- more fit than are taken now: go on behind the last taken; else behind the last looked at
    (select count(*) from looked l where l.fits) > (select count(*) from letter) as more,
    coalesce((select max(l.seen) from looked l), 0) >= $1 as full
), place as materialized (
  select p.created_at, p.message_id
  from tally t
  cross join lateral (
    select l.created_at, l.message_id from looked l where not t.more or l.message_id in (select x.message_id from letter x)
    order by l.created_at desc, l.message_id desc
    limit 1
  ) p
), went as (
  update redrives r
  set redriven = r.redriven + t.moved,
    suppressed = r.suppressed + t.suppressed,
    left_out = r.left_out + t.letters - t.moved - t.suppressed,
    at_created = coalesce((select p.created_at from place p), r.at_created),
    at_message = coalesce((select p.message_id from place p), r.at_message),
    -- a caller that comes late catches up with two seconds at most
    next_at = case when r.per_minute is null or t.moved = 0 then clock_timestamp()
      else greatest(r.next_at, clock_timestamp() - interval '2 seconds') + t.moved * interval '1 minute' / r.per_minute end,
    state = case when t.more or t.full then 'RUNNING' else 'DONE' end,
    ended_at = case when t.more or t.full then null else clock_timestamp() end
  from tally t
  where r.id = (select j.id from job j)
  returning r.id, r.tenant_id, r.state
)
select w.id as redrive_id, w.tenant_id, w.state, m.id as message_id, m.device_id, m.lane, m.seq, m.attempt, m.traceparent
from went w
left join moved m on true
order by m.device_id, m.lane, m.seq
