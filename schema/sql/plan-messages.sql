-- Makes the next message of enrolments and puts each in its place: one autocommit statement.
-- $1 flow  $2 lead  $3 step  $4 message id  $5 tenant  $6 device  $7 epoch  $8 lane  $9 recipient  $10 LID  $11 body
-- Result: one row per item, in input order. Guarantees:
--  P1 an enrolment is taken by compare-and-set on (step, waiting): two planners make one message, whoever they are;
--  P2 enrolments are locked first, in key order, then counters in (device, lane) order as in accept; seqs are dense, in the order of the items;
--  P3 who is suppressed gets no message: the enrolment ends here;
--  P4 only the device's present owner plans for it, and only while the flow runs;
--  P5 the message is of the variant that was drawn when its lead was enrolled.
with item as materialized (
  select * from unnest($1::integer[], $2::bigint[], $3::smallint[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[], $8::lane[], $9::text[],
    $10::text[], $11::text[])
    with ordinality as i (flow_no, lead_no, step, message_id, tenant_id, device_id, epoch, lane, recipient, lid, body, ord)
), taken as materialized (
  select i.*, e.variant
  from enrolments e
  join item i on i.flow_no = e.flow_no and i.lead_no = e.lead_no and i.step = e.step
  where e.due_at <= now()
  order by e.flow_no, e.lead_no
  for no key update of e
), judged as materialized (
  select t.*, s.hit is not null as suppressed
  from taken t
  join ownership o on o.device_id = any($6::uuid[]) and o.device_id = t.device_id
    and o.epoch = t.epoch -- fence
  join flows f on f.no = t.flow_no and flow_is_open(f.state, f.hours, now())
  left join lateral (
    (select 1 as hit from suppressions s where s.tenant_id = t.tenant_id and s.phone = t.recipient limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = t.tenant_id and s.lid = t.lid limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = t.tenant_id and s.hash = person_hash(t.tenant_id, t.recipient) limit 1)
    union all
    (select 1 from suppressions s where s.tenant_id = t.tenant_id and s.hash = person_hash(t.tenant_id, t.lid) limit 1)
    limit 1
  ) s on true
), locked as materialized (
  select c.device_id, c.lane, c.next_seq
  from lane_counters c
  where c.device_id = any($6::uuid[]) and (c.device_id, c.lane) in (select j.device_id, j.lane from judged j where not j.suppressed)
  order by c.device_id, c.lane
  for no key update of c
), numbered as materialized (
  select j.*, l.next_seq - 1 + row_number() over (partition by j.device_id, j.lane order by j.ord) as seq
  from judged j
  join locked l on l.device_id = j.device_id and l.lane = j.lane
  where not j.suppressed
), counted as (
  update lane_counters c
  set next_seq = c.next_seq + n.many, accepted = c.accepted + n.many
  from (select device_id, lane, count(*) as many from numbered group by device_id, lane) n
  where c.device_id = any($6::uuid[]) and c.device_id = n.device_id and c.lane = n.lane
), written as (
  insert into messages (id, tenant_id, device_id, lane, seq, recipient, recipient_lid, body, due_at, flow_no, lead_no, step,
    variant)
  select n.message_id, n.tenant_id, n.device_id, n.lane, n.seq, n.recipient, n.lid, n.body, now(), n.flow_no, n.lead_no, n.step,
    n.variant
  from numbered n
), moved as (
  update enrolments e
  set due_at = null,
    message_id = case when not j.suppressed then j.message_id end,
    cause = case when j.suppressed then 'SUPPRESSED' end,
    ended_at = case when j.suppressed then clock_timestamp() end
  from judged j
  where e.flow_no = j.flow_no and e.lead_no = j.lead_no
)
select case when j.ord is null then 'moved' when j.suppressed then 'suppressed' else 'planned' end as outcome, n.seq
from item i
left join judged j on j.ord = i.ord
left join numbered n on n.ord = i.ord
order by i.ord
