-- Two texts of a campaign against each other. Which of them a lead gets follows from the numbers of the campaign and the lead, so it is the same however often
-- its message is made. It is written down with the enrolment and with the message: what became of each is counted apart, and nothing is looked up for that.

alter table flows
  -- [{"name", "template", "percent"}], percents add up to 100; null = one text for all
  add column variants jsonb check (jsonb_array_length(variants) >= 2);
-- place in flows.variants, from 1; null where the flow has none
alter table enrolments add column variant smallint;
alter table messages add column variant smallint;
alter table report_events add column variants smallint[];   -- null: no message of them has one

-- Where the shares of the variants end, in hundredths: {40, 100}. null for a flow without.
create function flow_shares(p_variants jsonb) returns integer[] language sql immutable as $$
  select array_agg(s.upto order by s.place)
  from (
    select v.place, sum((v.value ->> 'percent')::integer) over (order by v.place)::integer as upto
    from jsonb_array_elements(p_variants) with ordinality as v (value, place)
  ) s
$$;

-- Which variant a lead gets: the first bytes of a hash of both numbers, in hundredths, against the shares. One expression, so that it becomes part of the
-- statement that asks.
create function flow_variant(p_flow integer, p_lead bigint, p_shares integer[]) returns smallint language sql immutable as $$
  select (1 + width_bucket(
    (('x' || encode(substr(sha256((p_flow::text || ':' || p_lead::text)::bytea), 1, 4), 'hex'))::bit(32)::bigint % 100)::integer, p_shares
  ))::smallint
$$;

-- As before, and with the variants.
create or replace function report_messages() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from after_rows n where n.state not in ('SENDING', 'WRITTEN')) then
    return null;
  end if;
  insert into report_events (node, devices, flows, was, said, proof, causes, began, accepted, variants)
  select n.node, array_agg(n.device_id), array_agg(n.flow_no), array_agg(o.state), array_agg(n.state),
    array_agg((num_nonnulls(n.sent_at) - num_nonnulls(o.sent_at) + 2 * (num_nonnulls(n.delivered_at) - num_nonnulls(o.delivered_at))
      + 4 * (num_nonnulls(n.read_at) - num_nonnulls(o.read_at)))::smallint),
    array_agg(n.cause), array_agg(n.intent_at), array_agg(n.created_at),
    case when count(n.variant) > 0 then array_agg(n.variant) end
  from after_rows n
  join before_rows o on o.id = n.id
  where n.state <> o.state
    and (n.state > 'UNKNOWN' or o.state > 'UNKNOWN' or n.state = 'QUEUED' and o.state in ('SENDING', 'WRITTEN', 'UNKNOWN'))
  group by n.node;
  return null;
end $$;
